"""Secrets as plugins reach them."""

from __future__ import annotations

import time
from collections.abc import Callable

from moorage.broker.quota import TokenBucket
from moorage.broker.services.base import Caller
from moorage.broker.services.secrets.errors import SecretInvalid, SecretSealed, SecretUnknown, TooManySecrets
from moorage.broker.services.secrets.vault import Vault
from moorage.errors import MoorageError
from moorage.models.installation import InstallationId
from moorage.models.secret import SecretOrigin
from moorage_proto import secrets_pb2
from moorage_proto.errors import CallError, Reason, Status

#: Of one installation, in a minute or at once. With each, what is looked for in its texts is worked out anew.
MAX_CHANGES = 60

_MINUTE_SECONDS = 60.0


class SecretsService:
    contract = secrets_pb2.DESCRIPTOR.services_by_name["SecretsService"]

    def __init__(self, vault: Vault, clock: Callable[[], float] = time.monotonic) -> None:
        self.vault = vault
        self._clock = clock
        #: Of installations that changed any while this host runs.
        self._paces: dict[InstallationId, TokenBucket] = {}

    async def open(self) -> None:
        """Raises what the source of the keys raises."""
        await self.vault.open()

    async def close(self) -> None:
        await self.vault.close()

    async def read(self, caller: Caller, request: secrets_pb2.ReadSecretRequest) -> secrets_pb2.ReadSecretReply:
        try:
            value = await self.vault.read(caller.installation, request.name)
        except SecretSealed as error:
            raise _refused(error) from error
        if value is None:
            return secrets_pb2.ReadSecretReply(found=False)
        return secrets_pb2.ReadSecretReply(found=True, value=value)

    async def write(self, caller: Caller, request: secrets_pb2.WriteSecretRequest) -> secrets_pb2.WriteSecretReply:
        """Masked from the moment in which it is answered."""
        self._check_pace(caller.installation)
        try:
            await self.vault.write(
                caller.installation, request.name, request.value, by=caller.incarnation, origin=SecretOrigin.PLUGIN
            )
        except (SecretInvalid, TooManySecrets) as error:
            raise _refused(error) from error
        return secrets_pb2.WriteSecretReply()

    async def delete(self, caller: Caller, request: secrets_pb2.DeleteSecretRequest) -> secrets_pb2.DeleteSecretReply:
        """Its own; a shared one is the operator's."""
        self._check_pace(caller.installation)
        try:
            await self.vault.delete(caller.installation, request.name)
        except SecretUnknown:
            return secrets_pb2.DeleteSecretReply(found=False)
        return secrets_pb2.DeleteSecretReply(found=True)

    def list(self, caller: Caller, request: secrets_pb2.ListSecretsRequest) -> secrets_pb2.ListSecretsReply:  # noqa: ARG002 - there is nothing to ask for in particular
        return secrets_pb2.ListSecretsReply(names=self.vault.names(caller.installation))

    def _check_pace(self, installation: InstallationId) -> None:
        minutes = self._clock() / _MINUTE_SECONDS
        pace = self._paces.setdefault(installation, TokenBucket(MAX_CHANGES, minutes))
        if not pace.take(1.0, minutes):
            sentence = f"{installation} changes its secrets more than {MAX_CHANGES} times a minute. Try again later."
            raise CallError(Status.RESOURCE_EXHAUSTED, Reason.QUOTA_EXCEEDED, sentence, retryable=True)


def _refused(error: MoorageError) -> CallError:
    if isinstance(error, SecretInvalid):
        return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, str(error))
    if isinstance(error, TooManySecrets):
        return CallError(Status.RESOURCE_EXHAUSTED, Reason.QUOTA_EXCEEDED, str(error))
    return CallError(
        Status.FAILED_PRECONDITION,
        Reason.BACKEND_FAILED,
        "The host has this secret and cannot open it; its log says why. Its operator has to set it anew.",
    )
