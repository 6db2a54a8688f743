"""Brings events to the handlers of plugins: each installation's one after another, and at most once.

A worker is started for them where none runs. What is not taken in time is lost, and counted; work that must not be lost
is the business of triggers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
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
from moorage_proto.capability import Grants, need
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Events that wait for one installation, and for the table of listeners.
CAPACITY = 256

#: Longest time of one handler.
HANDLER_TIMEOUT = timedelta(minutes=1)


class HandlingSession(Protocol):
    """A ready worker, lent for one event."""

    @property
    def contributions(self) -> Contributions: ...

    @property
    def grants(self) -> Grants: ...

    async def handle(self, handler: str, event: PluginEvent, timeout: timedelta) -> TaskOutcome: ...


class HandlingSessions(Protocol):
    def session(self, installation: InstallationId) -> AbstractAsyncContextManager[HandlingSession]:
        """A ready worker, started if there is none. Raises as the orchestrator's."""


#: Told of each handler that failed: the installation, the event, and a sentence for the plugin's log.
Tell = Callable[[InstallationId, PluginEvent, str], None]


@dataclass
class _Queue:
    waiting: deque[PluginEvent] = field(default_factory=deque)
    missed: int = 0
    #: Whether somebody works it off.
    busy: bool = False

    def put(self, event: PluginEvent) -> None:
        if len(self.waiting) >= CAPACITY:
            self.missed += 1 + self.waiting.popleft().missed
        self.waiting.append(event)

    def take(self) -> PluginEvent:
        event, missed = self.waiting.popleft(), self.missed
        self.missed = 0
        return replace(event, missed=event.missed + missed) if missed else event


class Deliveries:
    """Implements the hub's ``Receiver`` and ``Replier``. On the event loop's thread."""

    def __init__(self, listeners: Listeners, sessions: HandlingSessions, tell: Tell) -> None:
        self._listeners = listeners
        self._sessions = sessions
        self._tell = tell
        self._arrived = _Queue()
        self._queues: dict[InstallationId, _Queue] = {}
        self._tasks = OwnedTasks()
        self._stopped = False

    def offer(self, event: PluginEvent) -> None:
        if self._stopped:
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
        self._arrived.waiting.clear()
        for queue in self._queues.values():
            queue.waiting.clear()

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
    return worker.grants.decide(need(verb, event.topic)).allowed


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
