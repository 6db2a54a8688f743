"""Who waits until an installation takes work again."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from moorage.models.installation import InstallationId


class Rooms:
    """Wakes all who wait for one installation; each of them looks for itself whether there is room."""

    def __init__(self) -> None:
        self._waiting: dict[InstallationId, set[asyncio.Future[None]]] = defaultdict(set)

    def enter(self, installation: InstallationId) -> asyncio.Future[None]:
        """Done with the next change; to be given back with ``leave``."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[installation].add(change)
        return change

    def leave(self, installation: InstallationId, change: asyncio.Future[None]) -> None:
        waiting = self._waiting[installation]
        waiting.discard(change)
        if not waiting:
            del self._waiting[installation]

    def changed(self, installation: InstallationId) -> None:
        """There may be room now, or it may run again."""
        for change in self._waiting.get(installation, ()):
            if not change.done():
                change.set_result(None)

    def all_changed(self) -> None:
        for installation in tuple(self._waiting):
            self.changed(installation)
