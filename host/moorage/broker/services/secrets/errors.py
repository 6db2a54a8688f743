"""States of affairs of secrets. No sentence has a value in it."""

from __future__ import annotations

from moorage.errors import Conflict, Invalid, MoorageError, NotFound
from moorage.models.installation import InstallationId
from moorage.models.secret import SHARED


class SecretInvalid(Invalid):
    code = "secret_invalid"


class TooManySecrets(Conflict):
    code = "too_many_secrets"

    def __init__(self, installation: InstallationId, most: int) -> None:
        super().__init__(
            f"{owner(installation)} may have at most {most} secrets, and has them. Delete what is not needed any more."
        )


class SecretUnknown(NotFound):
    code = "secret_unknown"

    def __init__(self, installation: InstallationId, name: str) -> None:
        super().__init__(
            f"{owner(installation)} has no secret {name}. moorage secrets list shows those that there are."
        )


class SecretSealed(MoorageError):
    """It is there, and no key that the host has opens it."""

    code = "secret_sealed"
    http_status = 409

    def __init__(self, installation: InstallationId, name: str, key: str) -> None:
        command = f"moorage secrets set {installation or '--shared'} {name}"
        super().__init__(
            f"The secret {name} of {owner(installation)} cannot be opened: the key {key} is not in the host's key file,"
            f" or the secret was changed in the store. Bring the key back, or set the secret anew: {command}"
        )


def owner(installation: InstallationId) -> str:
    return "the operator" if installation == SHARED else installation
