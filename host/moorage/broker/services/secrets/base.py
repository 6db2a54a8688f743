"""What the vault needs: somewhere to keep what is sealed, and keys from somewhere else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from moorage.models.installation import InstallationId
from moorage.models.secret import SealedSecret


@dataclass(frozen=True)
class Key:
    #: Kept with what it seals; tells nothing of the key. Letters and digits, at most 40.
    id: str
    #: 32 random bytes, for AES-256.
    material: bytes = field(repr=False)


class KeySource(Protocol):
    """Where keys come from: a file (``key_file.py``), or a service that keeps them, such as a cloud's KMS.

    Of a service that never gives its own key away, keys are those that it has wrapped: the source keeps the wrapped
    ones and has them unwrapped when the host starts. Methods are called in a thread, one at a time, and raise
    MoorageErrors.
    """

    def keys(self) -> Sequence[Key]:
        """All there are; the first one seals what is written. Empty: none was made yet."""

    def add(self) -> Key:
        """Makes another one, the first from now on. When it returns, the key outlives this host."""

    def keep(self, ids: Collection[str]) -> None:
        """Forgets all others: nothing is sealed with them any more."""


class SecretStore(Protocol):
    """``moorage.store.secrets.Secrets`` is one."""

    async def list(self) -> Sequence[SealedSecret]: ...

    async def put(self, secrets: Sequence[SealedSecret]) -> None:
        """All or none."""

    async def delete(self, installation: InstallationId, name: str) -> bool: ...
