"""Which installations may be called with an event: enabled, granted, and as far as is known with a handler for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moorage.events.bus import EventBus
from moorage.events.events import DesiredChanged, GrantsChanged, Installed, Loaded
from moorage.models.event import HandlerView, PluginEvent
from moorage.models.installation import Installation, InstallationId
from moorage.store.store import Store
from moorage.supervisor import desired
from moorage_proto.capability import EVENTS_REPLY, Grants, need

#: Handlers of the worker that runs now, or None where none does.
Handlers = Callable[[InstallationId], "Sequence[HandlerView] | None"]

SUBSCRIBE, REPLY = "events.subscribe", EVENTS_REPLY


@dataclass
class _Listener:
    installation: Installation
    grants: Grants
    #: Of its last worker of this version; None: there was none yet.
    handlers: Sequence[HandlerView] | None = None


class Listeners:
    """Reads the store anew when something has changed there."""

    def __init__(self, store: Store, events: EventBus, handlers: Handlers) -> None:
        self._store = store
        self._handlers = handlers
        self._known: dict[InstallationId, _Listener] = {}
        self._stale = True
        self._turn = asyncio.Lock()
        self._changes = events.subscribe(Installed, GrantsChanged, DesiredChanged, Loaded)

    async def of(self, event: PluginEvent, *, verb: str) -> list[InstallationId]:
        """In the order of their names."""
        async with self._turn:
            await self._refresh()
        return [name for name, one in sorted(self._known.items()) if _may(one, event, verb)]

    async def _refresh(self) -> None:
        while self._changes.pending:
            change = await self._changes.__anext__()
            if isinstance(change, Loaded):
                self._learn(change.installation)
            else:
                self._stale = True
        if self._stale:
            self._stale = False
            self._known = await self._read()
            for name in self._known:
                self._learn(name)

    async def _read(self) -> dict[InstallationId, _Listener]:
        found = {}
        for installation in await self._store.installations.list():
            listener = _Listener(installation, await self._store.grants.effective(installation.id))
            known = self._known.get(installation.id)
            if known is not None and known.installation.code_hash == installation.code_hash:
                listener.handlers = known.handlers
            found[installation.id] = listener
        return found

    def _learn(self, name: InstallationId) -> None:
        listener, handlers = self._known.get(name), self._handlers(name)
        if listener is not None and handlers is not None:
            listener.handlers = handlers


def _may(listener: _Listener, event: PluginEvent, verb: str) -> bool:
    if desired.obstacle(listener.installation.id, listener.installation.desired):
        return False
    if not listener.grants.decide(need(verb, event.topic)).allowed:
        return False
    return listener.handlers is None or any(one.takes(event) for one in listener.handlers)
