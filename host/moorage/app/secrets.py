"""Secrets as people keep them: set, replaced, deleted, never shown."""

from __future__ import annotations

from moorage.app.acts import Act
from moorage.app.wiring import Wiring
from moorage.models.installation import InstallationId
from moorage.models.secret import SHARED, SecretInfo, SecretOrigin


class Secrets:
    """Implements ``moorage.web.operations.SecretOperations``."""

    def __init__(self, parts: Wiring, act: Act) -> None:
        self._parts = parts
        self._act = act

    async def list(self, installation: InstallationId | None = None) -> tuple[SecretInfo, ...]:
        """Of one installation, of none (``SHARED``: the operator's own), or of all. Raises InstallationUnknown."""
        if installation:
            await self._parts.store.installations.get(installation)
        return self._parts.vault.list(installation)

    async def set(self, installation: InstallationId, name: str, value: str, *, by: str = "") -> SecretInfo:
        """In the place of the one before; of ``SHARED``, one that several installations may use.

        Raises SecretInvalid, TooManySecrets, InstallationUnknown.
        """
        info = await self._parts.vault.write(
            installation, name, value, by=by or "someone", origin=SecretOrigin.OPERATOR
        )
        await self._act("set secret", installation, by, _told(installation, name))
        return info

    async def delete(self, installation: InstallationId, name: str, *, by: str = "") -> None:
        """Raises SecretUnknown, InstallationUnknown."""
        if installation != SHARED:
            await self._parts.store.installations.get(installation)
        await self._parts.vault.delete(installation, name)
        await self._act("delete secret", installation, by, _told(installation, name))

    async def rotate(self, *, by: str = "") -> int:
        """All of them are sealed with a new key; returns how many."""
        count = await self._parts.vault.rotate()
        await self._act("rotate secrets", "", by, f"{count} sealed with a new key")
        return count

    def masked(self, text: str) -> str:
        """A text without any secret that the host knows; for an application's own log."""
        return self._parts.maskers.everything(text)


def _told(installation: InstallationId, name: str) -> str:
    return name if installation != SHARED else f"{name}, shared"
