"""Which triggers count now, from what everybody says of them; their sources are listened to, their schedules run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Protocol

from moorage.clock import Clock, sleep
from moorage.events.bus import EventBus
from moorage.events.events import DesiredChanged, Event, GrantsChanged, Installed, Missed, Removed, SwitchChanged
from moorage.events.subscription import Subscription
from moorage.models.installation import Installation, InstallationId
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.selection import Selector
from moorage.models.switch import SwitchState
from moorage.models.trigger import TriggerId, TriggerState, TriggerView
from moorage.orchestrator.triggers import conditions
from moorage.orchestrator.triggers.base import Source
from moorage.orchestrator.triggers.conditions import Known
from moorage.orchestrator.triggers.door import DoorParts, TriggerDoor
from moorage.orchestrator.triggers.layers import Entries, Layered, layered, origins
from moorage.orchestrator.triggers.listening import STOP, Claims, Listening
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreFailed
from moorage.store.store import Store

log = logging.getLogger(__name__)

#: Whose declarations are in files and programs: what they say no more does not count any more.
DECLARING = (Origin.MANIFEST, Origin.SETTINGS, Origin.APPLICATION)

#: The kind whose signals come in by the API: nothing listens.
WEBHOOK = "webhook"

#: Why a trigger is paused that nobody has paused.
DECLARED_PAUSED = "it was declared so"

#: Before the store is read again that could not be read.
RETRY = timedelta(seconds=2)


@dataclass(frozen=True)
class SourceKind:
    """What listens to triggers of one kind. The composition root knows which there are."""

    make: Callable[[TriggerState, Installation | None], Source]
    #: Whether one host alone may listen, of those that share a store.
    exclusive: Callable[[Trigger], bool] = lambda _: False


class Schedules(Protocol):
    """Fires what is due at times of its own."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def look(self) -> None:
        """What is stored of schedules, or whether they may run, has changed."""


@dataclass(frozen=True)
class Declared:
    """What the settings and the application say."""

    #: By installation, then by name.
    settings: Mapping[InstallationId, Entries] = field(default_factory=dict)
    #: Of those that select, by name.
    selecting: Entries = field(default_factory=dict)
    #: Of the embedding application, before the host opens; by installation ("": they select), then by name.
    application: Mapping[InstallationId, Mapping[str, Trigger]] = field(default_factory=dict)


@dataclass(frozen=True)
class RegistryParts:
    store: Store
    events: EventBus
    clock: Clock
    declared: Declared
    #: By the kind of their triggers.
    kinds: Mapping[str, SourceKind]
    #: Those that a selector selects, whether or not they may run.
    select: Callable[[Selector], Awaitable[Collection[Installation]]]
    #: Of this host.
    claims: Claims


@dataclass
class _Heard:
    """A source that is listened to, and what it was made of."""

    spec: tuple[object, ...]
    listening: Listening


class Registry:
    """On the event loop's thread. ``open`` writes down what is declared; ``start`` lets it work."""

    def __init__(self, parts: RegistryParts, door: Callable[[Registry], DoorParts]) -> None:
        self._parts = parts
        self._store = parts.store
        #: Of all doors; also of those that are not a source's.
        self.door_parts = door(self)
        self._known: dict[InstallationId, Known] = {}
        self._layers: dict[TriggerId, Layered] = {}
        self._application = {name: dict(own) for name, own in parts.declared.application.items()}
        self._heard: dict[TriggerId, _Heard] = {}
        #: Those whose signals come in by the API, by installation and what they are called there.
        self._webhooks: dict[tuple[InstallationId, str], TriggerState] = {}
        #: Of those that select, what was acted upon.
        self._selecting: dict[TriggerId, tuple[object, ...]] = {}
        self._switch = SwitchState()
        self._turn = asyncio.Lock()
        self._tasks = OwnedTasks()
        self._follower: asyncio.Task[None] | None = None
        self._schedules: Schedules | None = None
        self._listens = False
        #: Without its lease among the hosts, this one listens to nothing that one host alone may listen to.
        self._leased = True

    # -- life ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Reads everything, and writes down what is declared. Raises StoreFailed."""
        changes = self._parts.events.subscribe(Installed, Removed, DesiredChanged, GrantsChanged, SwitchChanged)
        self._follower = self._tasks.start(self._follow(changes), "triggers")
        await self.refresh()

    async def start(self, schedules: Schedules) -> None:
        """From now on sources are listened to, and schedules fire. May be called twice."""
        if self._listens:
            return
        self._listens, self._schedules = True, schedules
        await self.refresh()
        await schedules.start()

    async def stop(self, bound: timedelta = STOP) -> None:
        """Schedules fire no more, and no source is listened to. What was not acknowledged comes again. May be called
        twice.
        """
        self._listens = False
        if self._schedules is not None:
            await self._schedules.stop()
        async with self._turn:
            await self._deafen(tuple(self._heard), bound)

    def lease_lost(self) -> None:
        """Others take over what one host alone may listen to."""
        self._leased = False
        exclusive = [key for key, heard in self._heard.items() if heard.listening.claims is not None]
        self._tasks.start(self._deafen(exclusive), "triggers of others")

    async def lease_regained(self) -> None:
        """Raises StoreFailed."""
        self._leased = True
        await self.refresh()

    async def close(self) -> None:
        await self.stop()
        if self._follower is not None:
            self._follower.cancel()
        await self._tasks.settled()

    # -- what is asked -------------------------------------------------------------------------------------------

    def known(self, name: InstallationId) -> Installation | None:
        found = self._known.get(name)
        return None if found is None else found.installation

    async def targets(self, state: TriggerState) -> tuple[Installation, ...]:
        """The installations that it runs now, and that may run: its own one, or those that it selects."""
        if state.installation:
            found: Collection[Installation] = (await self._store.installations.get(state.installation),)
        else:
            found = await self._parts.select(state.trigger.select or Selector())
        return tuple(each for each in found if each.desired.runnable)

    def webhook(self, installation: InstallationId, name: str) -> TriggerState | None:
        """The trigger of requests to that name; also one that is paused."""
        return self._webhooks.get((installation, name))

    @property
    def listened_to(self) -> tuple[TriggerId, ...]:
        """Those whose sources this host listens to, or tries to."""
        return tuple(sorted(self._heard))

    def condition(self, state: TriggerState) -> tuple[str, str]:
        """One word, and a sentence where it is not "active"."""
        heard = self._heard.get(state.id)
        problem = "" if heard is None else heard.listening.problem
        declared = self._layers.get(state.id)
        if declared is not None and declared.problem:
            return conditions.INVALID, declared.problem
        known = self._known.get(state.installation)
        if state.installation and known is None:
            return conditions.IDLE, f"{state.installation} is not installed."
        return conditions.condition(
            state, known, self._origins(state), switch=self._switch, problem=problem or self._unknown(state)
        )

    def obstacle(self, state: TriggerState) -> str:
        """Why it may not fire now; empty: it may."""
        word, reason = self.condition(state)
        return "" if word in conditions.WORKING else reason

    async def views(self, installation: InstallationId | None = None) -> tuple[TriggerView, ...]:
        """By id; ``installation``: its own alone. Without next runs and what is selected."""
        states = {state.id: state for state in await self._store.triggers.list(installation)}
        for each in self._layers.values():
            if each.problem and installation in (None, each.installation):
                states.setdefault(each.id, TriggerState(each.id, each.trigger, each.origin, each.installation))
        return tuple(self.view(states[name]) for name in sorted(states))

    def view(self, state: TriggerState) -> TriggerView:
        word, reason = self.condition(state)
        return TriggerView(state, word, reason, origins=self._origins(state))

    def _origins(self, state: TriggerState) -> dict[str, Origin]:
        declared = self._layers.get(state.id) if state.origin is not Origin.PERSON else None
        return origins(declared, state)

    def _unknown(self, state: TriggerState) -> str:
        if state.is_schedule or state.trigger.kind in (*self._parts.kinds, WEBHOOK):
            return ""
        return f"Nothing in this host listens to triggers of the kind {state.trigger.kind}."

    # -- what is said --------------------------------------------------------------------------------------------

    async def declare(self, installation: InstallationId, trigger: Trigger) -> None:
        """An application's, while this host lives. It counts once that installation is there ("": it selects)."""
        self._application.setdefault(installation, {})[trigger.name] = trigger
        await self.refresh([installation])

    async def retract(self, installation: InstallationId, name: str) -> bool:
        """An application's own. False: there is none."""
        found = self._application.get(installation, {}).pop(name, None)
        await self.refresh([installation])
        return found is not None

    async def refresh(self, names: Iterable[InstallationId] | None = None) -> None:
        """Brings everything up to date with the store, or what concerns these installations ("": those that select)."""
        async with self._turn:
            self._switch = await self._store.switches.get()
            if names is None:
                found = {each.id for each in await self._store.installations.list()}
                names = (*sorted(found | set(self._known)), "")
            for name in dict.fromkeys(names):
                await self._refresh(name)
        if self._schedules is not None:
            self._schedules.look()

    async def look_at_selecting(self) -> None:
        """What people changed on other hosts of those that select. Raises StoreFailed."""
        found = {state.id: _said(state) for state in await self._store.triggers.list("")}
        if found != self._selecting:
            await self.refresh([""])

    async def _refresh(self, name: InstallationId) -> None:
        if name and not await self._learn(name):
            self._receive(name, ())
            await self._deafen([each for each in self._heard if _of(each, name)])
            return
        await self._declare(name)
        states = await self._store.triggers.list(name)
        states = tuple([await self._as_declared(state) for state in states])
        if not name:
            self._selecting = {state.id: _said(state) for state in states}
        self._receive(name, states)
        await self._hear(name, states)

    async def _learn(self, name: InstallationId) -> bool:
        """False: there is no such installation."""
        installation = await self._store.installations.find(name)
        self._layers = {key: each for key, each in self._layers.items() if each.installation != name}
        if installation is None:
            self._known.pop(name, None)
            return False
        rights = await self._store.grants.rights(name)
        self._known[name] = Known(installation, rights.effective, rights.missing)
        return True

    async def _declare(self, name: InstallationId) -> None:
        declared = self._parts.declared
        manifest = self._known[name].installation.manifest.triggers if name else ()
        entries = declared.settings.get(name, {}) if name else declared.selecting
        found = layered(name, manifest, entries, self._application.get(name, {}).values())
        self._layers = {key: each for key, each in self._layers.items() if each.installation != name}
        self._layers |= {each.id: each for each in found}
        valid = [each.declaration for each in found if not each.problem]
        await self._store.triggers.declare(valid, origins=DECLARING, of=name)

    async def _as_declared(self, state: TriggerState) -> TriggerState:
        """A declaration may say that it is paused, or say so no more; a person's word counts before it."""
        paused = bool(state.trigger.options.get("paused"))
        if paused and not state.paused:
            return await self._store.triggers.pause(state.id, DECLARED_PAUSED, by="")
        if not paused and state.paused and not state.paused_by and state.paused_reason == DECLARED_PAUSED:
            return await self._store.triggers.resume(state.id)
        return state

    def _receive(self, name: InstallationId, states: Collection[TriggerState]) -> None:
        kept = {key: each for key, each in self._webhooks.items() if key[0] != name}
        own = [each for each in states if each.trigger.kind == WEBHOOK and not each.removed]
        self._webhooks = kept | {(name, each.trigger.source): each for each in own}

    async def _hear(self, name: InstallationId, states: Collection[TriggerState]) -> None:
        """Listens to those sources that it is to listen to, and to no others, of one installation."""
        wanted = {state.id: state for state in states if self._is_wanted(state)}
        heard = {key: each for key, each in self._heard.items() if _of(key, name)}
        gone = [key for key, each in heard.items() if key not in wanted or each.spec != self._spec(wanted[key])]
        await self._deafen(gone)
        for key, state in wanted.items():
            if key not in self._heard:
                self._listen(state)

    def _is_wanted(self, state: TriggerState) -> bool:
        kind = self._parts.kinds.get(state.trigger.kind)
        if not self._listens or kind is None or (not self._leased and kind.exclusive(state.trigger)):
            return False
        return self.condition(state)[0] in conditions.WORKING

    def _spec(self, state: TriggerState) -> tuple[object, ...]:
        """What a source is made of: of another one it is made anew. Another version has another start of its own."""
        known = self._known.get(state.installation)
        code = known.installation.code_hash if known is not None and state.trigger.kind == "startup" else ""
        return (state.trigger, code)

    def _listen(self, state: TriggerState) -> None:
        kind = self._parts.kinds[state.trigger.kind]
        known = self._known.get(state.installation)
        installation = None if known is None else known.installation
        listening = Listening(
            state.id,
            lambda: kind.make(state, installation),
            partial(TriggerDoor, state, self.door_parts),
            self._parts.clock,
            self._store.triggers.problem,
            self._parts.claims if kind.exclusive(state.trigger) else None,
            problem=state.problem,
        )
        self._heard[state.id] = _Heard(self._spec(state), listening)
        listening.start()

    async def _deafen(self, triggers: Collection[TriggerId], bound: timedelta = STOP) -> None:
        gone = [self._heard.pop(each) for each in triggers if each in self._heard]
        await asyncio.gather(*(each.listening.stop(bound) for each in gone))

    async def _follow(self, changes: Subscription[Event]) -> None:
        async for event in changes:
            names: set[InstallationId] | None = set()
            while True:
                if isinstance(event, (Missed, SwitchChanged)):
                    names = None
                elif names is not None:
                    names.add(event.installation)
                if not changes.pending:
                    break
                event = await changes.__anext__()
            await self._caught_up(names)

    async def _caught_up(self, names: set[InstallationId] | None) -> None:
        while True:
            try:
                await self.refresh(names)
            except StoreFailed as error:
                log.warning("what has changed of triggers could not be read: %s", error)
                await sleep(self._parts.clock, RETRY)
            else:
                return


def _of(trigger: TriggerId, name: InstallationId) -> bool:
    installation, slash, _ = trigger.rpartition("/")
    return installation == name if slash else not name


def _said(state: TriggerState) -> tuple[object, ...]:
    """What is said of it, and not what becomes of it."""
    return (state.trigger, state.paused, state.removed)
