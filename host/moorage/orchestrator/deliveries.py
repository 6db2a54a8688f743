"""Brings events to the handlers of plugins: each installation's one after another, and at most once.

A worker is started for them where none runs. What is not taken in time is lost, and counted; work that must not be lost
is the business of triggers.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from moorage.errors import Conflict, MoorageError, NotFound
from moorage.models.contributions import Contributions
from moorage.models.event import EventReply, PluginEvent
from moorage.models.execution import ExecutionState, TaskOutcome
from moorage.models.installation import InstallationId
from moorage.orchestrator.listeners import REPLY, SUBSCRIBE, Listeners
from moorage.owned import OwnedTasks
from moorage_proto.capability import Capability, need
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Events that wait for one installation, and for the table of listeners; and the memory that they may take.
CAPACITY = 256
CAPACITY_BYTES = 4 * 1024 * 1024

#: Requests of one asker that one installation is called with at the same time; further ones wait. Two that ask each
#: other in a circle come to their end here.
MAX_ASKED = 8

#: Longest time of one handler.
HANDLER_TIMEOUT = timedelta(minutes=1)


class HandlingSession(Protocol):
    """A ready worker, lent for one event."""

    @property
    def contributions(self) -> Contributions: ...

    def uses(self, need: Capability) -> bool:
        """Whether it has the right at this moment; counted as a use of it."""

    async def handle(self, handler: str, event: PluginEvent, timeout: timedelta) -> TaskOutcome: ...


class HandlingSessions(Protocol):
    def session(self, installation: InstallationId) -> AbstractAsyncContextManager[HandlingSession]:
        """A ready worker, started if there is none. Raises as the orchestrator's."""


#: Told of each handler that failed: the installation, the event, and a sentence for the plugin's log.
Tell = Callable[[InstallationId, PluginEvent, str], None]


@dataclass
class _Queue:
    """What does not fit displaces the oldest of whoever has published most of what waits: one that floods, itself."""

    waiting: list[PluginEvent] = field(default_factory=list)
    missed: int = 0
    #: Whether somebody works it off.
    busy: bool = False
    _bytes: int = 0
    _by_source: Counter[str] = field(default_factory=Counter)

    def put(self, event: PluginEvent) -> None:
        self.waiting.append(event)
        self._bytes += event.size_bytes
        self._by_source[event.source] += 1
        while len(self.waiting) > CAPACITY or self._bytes > CAPACITY_BYTES:
            (most, _), *_ = self._by_source.most_common(1)
            self.missed += 1 + self._remove(self._oldest_of(most)).missed

    def take(self) -> PluginEvent:
        event, missed = self._remove(0), self.missed
        self.missed = 0
        return replace(event, missed=event.missed + missed) if missed else event

    def clear(self) -> None:
        while self.waiting:
            self._remove(-1)

    def _oldest_of(self, source: str) -> int:
        return next(index for index, event in enumerate(self.waiting) if event.source == source)

    def _remove(self, index: int) -> PluginEvent:
        event = self.waiting.pop(index)
        self._bytes -= event.size_bytes
        self._by_source[event.source] -= 1
        if not self._by_source[event.source]:
            del self._by_source[event.source]
        return event


class Deliveries:
    """Implements the hub's ``Receiver`` and ``Replier``. On the event loop's thread."""

    def __init__(self, listeners: Listeners, sessions: HandlingSessions, tell: Tell) -> None:
        self._listeners = listeners
        self._sessions = sessions
        self._tell = tell
        self._arrived = _Queue()
        self._queues: dict[InstallationId, _Queue] = {}
        #: By asker and replier.
        self._turns: weakref.WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = weakref.WeakValueDictionary()
        self._tasks = OwnedTasks()
        self._stopped = False

    def offer(self, event: PluginEvent) -> None:
        """At once where it is known who listens: whoever publishes pays with time of the loop that is their own."""
        if self._stopped:
            return
        names = None if self._arrived.busy else self._listeners.known(event, verb=SUBSCRIBE)
        if names is not None:
            for name in names:
                self._queue(name, event)
            return
        self._arrived.put(event)
        if not self._arrived.busy:
            self._arrived.busy = True
            self._tasks.start(self._sort(), "events")

    async def reply(self, event: PluginEvent, timeout_seconds: float) -> EventReply | None:
        """Of the first installation, by its name, that replies to the topic."""
        try:
            async with asyncio.timeout(timeout_seconds):
                for name in await self._listeners.of(event, verb=REPLY):
                    turns = self._turns.setdefault((event.source, name), asyncio.Semaphore(MAX_ASKED))
                    async with turns:
                        found = await self._ask(name, event, timedelta(seconds=timeout_seconds))
                    if found is not None:
                        return found
        except TimeoutError:
            sentence = f"Nobody has replied to {event.topic} within {timeout_seconds:g} s."
            raise CallError(Status.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, sentence) from None
        return None

    def stop(self) -> None:
        """What waits is dropped; handlers that have begun go on. May be called twice."""
        self._stopped = True
        self._arrived.clear()
        for queue in self._queues.values():
            queue.clear()

    async def settled(self) -> None:
        """Until no handler goes on; they end with their workers at the latest."""
        await self._tasks.settled()

    async def _sort(self) -> None:
        """To the queue of each installation that listens."""
        try:
            while self._arrived.waiting:
                event = self._arrived.take()
                for name in await self._listeners.of(event, verb=SUBSCRIBE):
                    self._queue(name, event)
                # There may be many, and nothing above has to wait.
                await asyncio.sleep(0)
        except MoorageError as error:
            log.error("events are not delivered: %s", error)
        finally:
            self._arrived.busy = False

    def _queue(self, name: InstallationId, event: PluginEvent) -> None:
        queue = self._queues.setdefault(name, _Queue())
        queue.put(event)
        if not queue.busy:
            queue.busy = True
            self._tasks.start(self._work_off(name, queue), f"{name} events")

    async def _work_off(self, name: InstallationId, queue: _Queue) -> None:
        try:
            while queue.waiting:
                await self._deliver(name, queue.take())
        finally:
            queue.busy = False
            if not queue.waiting and not queue.missed:
                self._queues.pop(name, None)

    async def _deliver(self, name: InstallationId, event: PluginEvent) -> None:
        try:
            async with self._sessions.session(name) as worker:
                for handler in worker.contributions.handlers:
                    if not handler.replies and handler.takes(event) and _granted(worker, SUBSCRIBE, event):
                        outcome = await worker.handle(handler.name, event, HANDLER_TIMEOUT)
                        self._log(name, event, handler.name, outcome)
        except (Conflict, NotFound) as error:
            # It was disabled, held or removed since it was asked whether it listens.
            log.info("%s: %s is not delivered: %s", name, event.topic, error)
        except Exception as error:  # noqa: BLE001 - whatever ends one delivery, the next is tried
            self._tell(name, event, f"The event {event.topic} was not delivered: {error}")

    async def _ask(self, name: InstallationId, event: PluginEvent, timeout: timedelta) -> EventReply | None:
        """None: it has no such handler after all, or may not run."""
        try:
            async with self._sessions.session(name) as worker:
                for handler in worker.contributions.handlers:
                    if handler.replies and handler.takes(event) and _granted(worker, REPLY, event):
                        outcome = await worker.handle(handler.name, event, min(timeout, HANDLER_TIMEOUT))
                        self._log(name, event, handler.name, outcome)
                        return EventReply(_result(name, event, outcome), name)
        except (Conflict, NotFound):
            return None
        except CallError:
            raise
        except MoorageError as error:
            log.warning("%s: %s", name, error)
            raise _unavailable(name, event) from error
        return None

    def _log(self, name: InstallationId, event: PluginEvent, handler: str, outcome: TaskOutcome) -> None:
        if outcome.error is not None and outcome.state is not ExecutionState.CANCELLED:
            words = outcome.state.value.replace("_", " ")
            self._tell(name, event, f"The handler {handler!r} {words}: {outcome.error.message}")


def _granted(worker: HandlingSession, verb: str, event: PluginEvent) -> bool:
    """By the grants of this very worker: those known before may be older."""
    return worker.uses(need(verb, event.topic))


def _result(name: InstallationId, event: PluginEvent, outcome: TaskOutcome) -> object:
    """Raises CallError. What the plugin raised is its own business: who asked is told that it failed, not with what."""
    if outcome.state is ExecutionState.SUCCEEDED:
        return outcome.result
    if outcome.state is ExecutionState.TIMED_OUT:
        sentence = f"{name} has not replied to {event.topic} in time."
        raise CallError(Status.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, sentence)
    sentence = f"{name} failed to reply to {event.topic}; its own log tells why."
    raise CallError(Status.UNKNOWN, Reason.BACKEND_FAILED, sentence)


def _unavailable(name: InstallationId, event: PluginEvent) -> CallError:
    sentence = f"{name}, which replies to {event.topic}, has no worker that is ready. Try again later."
    return CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, sentence, retryable=True)
