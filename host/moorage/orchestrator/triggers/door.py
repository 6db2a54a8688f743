"""The door of one trigger: its signals become executions, and what became of each is told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from moorage.clock import Clock, sleep
from moorage.errors import MoorageError
from moorage.models.execution import Execution, ExecutionError, ExecutionRequest, ExecutionState
from moorage.models.installation import Installation, InstallationId
from moorage.models.policy import Overlap, RunPolicy
from moorage.models.trigger import TriggerId, TriggerState
from moorage.orchestrator.triggers.base import Fate, NotNow, Signal, Taken
from moorage.store.errors import NotStorable

#: Attempts of an execution whose signal would otherwise go to the dead letter after one failure. Where the policy of
#: its installation retries, that counts.
ATTEMPTS = 5

#: Signals of one source that wait in the queue, beside as many as run: enough that no worker waits for the next one.
AHEAD = 8

#: A longer key is told by its digest; the column has room for 600 characters, and the trigger's id is in it too.
MAX_KEY_CHARACTERS = 300

#: Least time between two submissions of a signal: room in a queue may be gone again at once.
LOOK = timedelta(milliseconds=50)

#: The error's type of what was rejected by the overlap policy alone.
_SKIPPED = "skipped"

_DONE = (ExecutionState.SUCCEEDED, ExecutionState.CANCELLED)


class Orchestrator(Protocol):
    """What doors need of it."""

    async def submit(self, request: ExecutionRequest) -> Execution: ...

    async def wait(self, execution_id: str) -> Execution: ...

    async def room(self, installation: InstallationId) -> None: ...


class Counts(Protocol):
    """The store's, of triggers."""

    async def fired(self, trigger: TriggerId, execution: str, *, at: datetime) -> None: ...

    async def skipped(self, trigger: TriggerId, count: int = 1) -> None: ...


@dataclass(frozen=True)
class DoorParts:
    """The same for the doors of all triggers."""

    orchestrator: Orchestrator
    counts: Counts
    clock: Clock
    #: The policy that counts for an installation now.
    policy: Callable[[Installation], RunPolicy]
    #: Of a trigger: those installations that it runs now, and that may run.
    targets: Callable[[TriggerState], Awaitable[Collection[Installation]]]
    #: As it is known now; None: there is none.
    known: Callable[[InstallationId], Installation | None]


class TriggerDoor:
    """Implements ``moorage.orchestrator.triggers.base.Door``. ``taken`` is called when a signal is in: it works."""

    def __init__(self, state: TriggerState, parts: DoorParts, taken: Callable[[], None] = lambda: None) -> None:
        self._state = state
        self._parts = parts
        self._taken = taken

    @property
    def slots(self) -> int:
        """As many as may run at a time, and a few that wait, so that no turn is lost."""
        installation = self._parts.known(self._state.installation)
        policy = RunPolicy() if installation is None else self._parts.policy(installation)
        return policy.concurrency + min(policy.queue, policy.concurrency + AHEAD)

    async def take(self, signal: Signal) -> Taken:
        """As the contract says. Of a trigger that selects: each of the selected has an execution of its own; what is
        returned is the first that has failed, or else the first.
        """
        try:
            return await self._take(signal)
        except NotNow:
            raise
        except MoorageError as error:
            # The store fails, the host stops, the installation was removed: whatever it is, it is not the signal.
            raise NotNow(str(error)) from error

    async def _take(self, signal: Signal) -> Taken:
        targets = await self._parts.targets(self._state)
        if not targets:
            raise NotNow(f"No installation that {self._state.id} is for may run now.")
        try:
            executions = [await self._submitted(signal, each) for each in targets]
        except NotStorable as error:
            return await self._unfit(signal, targets, error)
        self._taken()
        ended = await asyncio.gather(*(self._parts.orchestrator.wait(each.id) for each in executions))
        return await self._judged(ended)

    async def _submitted(self, signal: Signal, installation: Installation) -> Execution:
        request = self._request(signal, installation)
        began = self._parts.clock.now()
        execution = await self._accepted(request)
        if execution.queued_at >= began:
            # Otherwise the signal has come before, and was counted then.
            await self._parts.counts.fired(self._state.id, execution.id, at=began)
        return execution

    async def _accepted(self, request: ExecutionRequest) -> Execution:
        """Waits for room in the queue: what else stands against it is seen by its installation."""
        while True:
            try:
                return await self._parts.orchestrator.submit(request)
            except NotNow:
                installation = self._parts.known(request.installation)
                if installation is None or not installation.desired.runnable:
                    raise
            await sleep(self._parts.clock, LOOK)
            await self._parts.orchestrator.room(request.installation)

    def _request(self, signal: Signal, installation: Installation) -> ExecutionRequest:
        trigger = self._state.trigger
        return ExecutionRequest(
            installation.id,
            task=trigger.task,
            input=trigger.input if signal.input is None else signal.input,
            trigger=trigger.kind,
            trigger_id=self._state.id,
            key=key_of(self._state, signal.key, installation.id),
            patient=True,
            attempts=attempts_of(self._state, self._parts.policy(installation)),
            overlap=overlap_of(self._state),
        )

    async def _unfit(self, signal: Signal, targets: Collection[Installation], error: NotStorable) -> Taken:
        """No execution can be made of it, now or later: to the dead letter, with an execution that was never stored."""
        await self._parts.counts.skipped(self._state.id)
        installation = next(iter(targets))
        now = self._parts.clock.now()
        execution = Execution(
            id="",
            installation=installation.id,
            plugin=installation.manifest.name,
            version=installation.manifest.version,
            task=self._state.trigger.task,
            trigger=self._state.trigger.kind,
            state=ExecutionState.REJECTED,
            queued_at=now,
            ended_at=now,
            trigger_id=self._state.id,
            error=ExecutionError(error.code, f"No execution was made of {signal.position or 'it'}: {error}"),
        )
        return Taken(execution, Fate.POISON)

    async def _judged(self, ended: list[Execution]) -> Taken:
        skipped = [each for each in ended if _is_skipped(each)]
        if skipped:
            await self._parts.counts.skipped(self._state.id, len(skipped))
        failed = [each for each in ended if each.state not in _DONE and not _is_skipped(each)]
        return Taken((failed or ended)[0], Fate.POISON if failed else Fate.DONE)


def key_of(state: TriggerState, key: str, installation: InstallationId) -> str:
    """The same for the same signal, of this trigger and installation alone; empty where the signal has none."""
    if not key:
        return ""
    short = key if len(key) <= MAX_KEY_CHARACTERS else f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    whose = "" if state.installation else f"@{installation}"
    return f"{state.id}{whose}#{short}"


def attempts_of(state: TriggerState, policy: RunPolicy) -> int | None:
    """The trigger's own word, then the policy's (None: it says so itself), then what sources have."""
    own = state.trigger.options.get("attempts")
    if isinstance(own, int):
        return own
    return None if policy.retries else ATTEMPTS


def overlap_of(state: TriggerState) -> Overlap | None:
    """The trigger's own word; None: the policy's counts."""
    own = state.trigger.options.get("overlap")
    return None if own is None else Overlap(own)


def _is_skipped(execution: Execution) -> bool:
    return (
        execution.state is ExecutionState.REJECTED and execution.error is not None and execution.error.type == _SKIPPED
    )
