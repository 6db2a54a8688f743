"""Who waits until an installation takes work again."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict

from moorage.models.installation import InstallationId


class Rooms:
    """Wakes as many of those who wait for one installation as there are places, who waits longest first; each of them
    looks for itself whether there is room. All at once would ask the store the same, and be told the same.
    """

    def __init__(self) -> None:
        #: In the order in which they came.
        self._waiting: dict[InstallationId, dict[asyncio.Future[None], None]] = defaultdict(dict)

    def enter(self, installation: InstallationId) -> asyncio.Future[None]:
        """Done with a change; to be given back with ``leave``."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[installation][change] = None
        return change

    def leave(self, installation: InstallationId, change: asyncio.Future[None]) -> None:
        waiting = self._waiting[installation]
        waiting.pop(change, None)
        if not waiting:
            del self._waiting[installation]

    def changed(self, installation: InstallationId, places: int | None = None) -> None:
        """There may be so many places now; None: nobody knows how many."""
        asleep = (change for change in self._waiting.get(installation, ()) if not change.done())
        for change in tuple(itertools.islice(asleep, places)):
            change.set_result(None)

    def all_changed(self) -> None:
        for installation in tuple(self._waiting):
            self.changed(installation)
