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
from moorage_proto.learning import Learnt, open_grants

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

    def __init__(self, store: Store, events: EventBus, handlers: Handlers, learnt: Learnt | None = None) -> None:
        """``learnt``: everything that is not denied is allowed, and what was received is noted there."""
        self._store = store
        self._learnt = learnt
        self._handlers = handlers
        self._known: dict[InstallationId, _Listener] = {}
        self._stale = True
        self._turn = asyncio.Lock()
        self._changes = events.subscribe(Installed, GrantsChanged, DesiredChanged, Loaded)

    async def of(self, event: PluginEvent, *, verb: str) -> list[InstallationId]:
        """In the order of their names."""
        async with self._turn:
            await self._refresh()
        return self._found(event, verb)

    def known(self, event: PluginEvent, *, verb: str) -> list[InstallationId] | None:
        """As ``of``, at once; None: something has changed, and has to be read before."""
        if self._stale or self._changes.pending or self._turn.locked():
            return None
        return self._found(event, verb)

    def _found(self, event: PluginEvent, verb: str) -> list[InstallationId]:
        found = [name for name, one in sorted(self._known.items()) if _may(one, event, verb)]
        if self._learnt is not None:
            self._note(self._learnt, found, event, verb)
        return found

    def _note(self, learnt: Learnt, found: list[InstallationId], event: PluginEvent, verb: str) -> None:
        for name in found:
            for handler in self._known[name].handlers or ():
                if handler.takes(event) and handler.replies == (verb == REPLY):
                    learnt.note(need(verb, handler.topic))

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

    async def _read(self) -> dict[InstallationId, _Listener]:
        found = {}
        for installation in await self._store.installations.list():
            grants = await self._store.grants.effective(installation.id)
            if self._learnt is not None:
                grants = open_grants(grants, (SUBSCRIBE, REPLY))
            listener = _Listener(installation, grants)
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
    replies = verb == REPLY
    return listener.handlers is None or any(one.replies == replies and one.takes(event) for one in listener.handlers)
