"""Which installations may implement an extension point: granted, and as far as is known with an implementation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from moorage.events.bus import EventBus
from moorage.events.events import GrantsChanged, Installed, Loaded, Removed
from moorage.models.contributions import Contributions
from moorage.models.extensions import Extension
from moorage.models.installation import Installation, InstallationId
from moorage.store.store import Store
from moorage_proto.capability import EXTENSIONS_IMPLEMENT, Grants, need
from moorage_proto.learning import Learnt, open_grants

#: Of the ready worker of an installation; None where none is.
Ready = Callable[[InstallationId], Contributions | None]


@dataclass
class Implementer:
    """What is known of one installation."""

    installation: Installation
    grants: Grants
    #: Of its last worker of this version; None: there was none yet.
    extensions: tuple[Extension, ...] | None = None

    def granted(self, point: str) -> bool:
        return self.grants.decide(need(EXTENSIONS_IMPLEMENT, point)).allowed

    def implementing(self, point: str) -> tuple[Extension, ...]:
        """Newest version first; none also where it is not known."""
        found = (each for each in self.extensions or () if each.point == point)
        return tuple(sorted(found, key=lambda each: -each.version))


class Implementers:
    """Reads the store anew when something has changed there."""

    def __init__(self, store: Store, events: EventBus, ready: Ready, learnt: Learnt | None = None) -> None:
        """``learnt``: everything that is not denied is allowed, and what was called is noted there."""
        self._store = store
        self._ready = ready
        self._learnt = learnt
        self._known: dict[InstallationId, Implementer] = {}
        self._stale = True
        self._turn = asyncio.Lock()
        self._changes = events.subscribe(Installed, Removed, GrantsChanged, Loaded)

    async def all(self) -> list[Implementer]:
        """By name. Raises StoreFailed."""
        if self._stale or self._changes.pending or self._turn.locked():
            async with self._turn:
                await self._refresh()
        return [found for _, found in sorted(self._known.items())]

    async def of(self, point: str) -> list[InstallationId]:
        """Those that may be called: granted, and not known to implement nothing of it. By name. Raises StoreFailed."""
        found = [each for each in await self.all() if each.granted(point) and _may_implement(each, point)]
        if self._learnt is not None and any(each.implementing(point) for each in found):
            self._learnt.note(need(EXTENSIONS_IMPLEMENT, point))
        return [each.installation.id for each in found]

    async def _refresh(self) -> None:
        while self._changes.pending:
            change = await self._changes.__anext__()
            if isinstance(change, Loaded):
                self._learn(change.installation)
            else:
                self._stale = True
        if self._stale:
            # Who waits for this may leave in the middle of it.
            self._known = await self._read()
            self._stale = False
            for name in self._known:
                self._learn(name)

    async def _read(self) -> dict[InstallationId, Implementer]:
        found = {}
        for installation in await self._store.installations.list():
            grants = await self._store.grants.effective(installation.id)
            if self._learnt is not None:
                grants = open_grants(grants, (EXTENSIONS_IMPLEMENT,))
            made = Implementer(installation, grants)
            known = self._known.get(installation.id)
            if known is not None and known.installation.code_hash == installation.code_hash:
                made.extensions = known.extensions
            found[installation.id] = made
        return found

    def _learn(self, name: InstallationId) -> None:
        known, contributions = self._known.get(name), self._ready(name)
        if known is not None and contributions is not None:
            known.extensions = contributions.extensions


def _may_implement(found: Implementer, point: str) -> bool:
    return found.extensions is None or bool(found.implementing(point))
