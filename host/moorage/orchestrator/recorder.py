"""Writes down how attempts and executions ended, and announces it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from moorage.clock import Clock, sleep
from moorage.errors import ExitCode, Invalid, MoorageError
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEnded, ExecutionRetried
from moorage.models.execution import Attempt, Execution, ExecutionState, TaskOutcome
from moorage.models.installation import InstallationId
from moorage.orchestrator import outcomes, states
from moorage.orchestrator.job import Job
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreFailed
from moorage.store.executions import Executions
from moorage.telemetry.plain import neutralise

log = logging.getLogger(__name__)

#: Waits between attempts to record an outcome, while the store fails.
RECORD_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (0.05, 0.2, 1, 5, 20))


class Disowned(Exception):
    """Another host has the execution by now, or will have it: what becomes of it is in the store."""


class ExecutionPostponed(MoorageError):
    """Told to whoever waits for an execution that this host will not begin any more."""

    code = "execution_postponed"
    exit_code = ExitCode.UNAVAILABLE
    http_status = 503

    def __init__(self, execution: str) -> None:
        super().__init__(
            f"{execution} is not done, and the host stops. It is queued, and runs when the host is back; see: "
            f"moorage execution {execution}"
        )
        self.execution = execution


def nobody(_: Execution) -> None:
    """Outcomes are announced all the same."""


def harmless(_: InstallationId, text: str) -> str:
    return neutralise(text)


@dataclass(frozen=True)
class Recorder:
    executions: Executions
    events: EventBus
    clock: Clock
    #: Who holds what goes on after nobody waits any more.
    works: OwnedTasks
    #: Told of each attempt and outcome after it was recorded: for the plugin's log.
    tell: Callable[[Execution], None] = nobody
    #: A text of an installation's as people may see it.
    plain: Callable[[InstallationId, str], str] = harmless

    async def outcome(self, job: Job, outcome: TaskOutcome) -> None:
        """Writes the outcome, then announces it. Settles ``job.recorded``: with the store's error, where it failed."""
        try:
            await self._outcome(job, outcome)
        except Exception as error:  # noqa: BLE001 - whoever waits for the outcome is told, whatever the store raised
            log.error("%s: its outcome %s was not recorded: %s", job.id, outcome.state, error)
            job.fail_to_record(error)
        finally:
            if not job.recorded.done():
                job.recorded.cancel()

    async def again(self, job: Job, outcome: TaskOutcome, delay: timedelta) -> bool:
        """Writes the attempt that has ended so, and queues the execution for the next. False: it is settled instead."""
        now = self.clock.now()
        outcome = self._cleaned(job, outcome)
        queued, attempt = states.again(job.execution, outcome, at=now, due_at=now + delay)
        attempt = replace(attempt, use=job.use)
        queued = replace(queued, use=states.together(job.execution.use, job.use))
        try:
            written = await self._tried_again(job, lambda: self.executions.again(queued, attempt))
        except Exception as error:  # noqa: BLE001 - it is said to run until a host judges it
            log.error("%s: the end of its attempt %d was not recorded: %s", job.id, attempt.number, error)
            job.fail_to_record(error)
            return False
        if not written and not await self._settled_as_stored(job, expected=queued.attempt):
            return False
        self.tell(states.ended(replace(job.execution, use=job.use), outcome, at=now))
        job.execution, job.use = queued, None
        self.events.announce(ExecutionRetried(queued.installation, queued, attempt))
        return True

    async def put_back(self, job: Job) -> None:
        """Leaves it to the next host, and tells who waits for it."""
        try:
            await self.executions.requeued(job.id, host=job.execution.host)
        except MoorageError as error:
            log.error("%s: it has not begun, and could not be queued again: %s", job.id, error)
        self.postpone(job)

    def postpone(self, job: Job) -> None:
        """As ``put_back``, of one that is queued in the store."""
        job.fail_to_record(ExecutionPostponed(job.id))

    def disown(self, job: Job) -> None:
        job.disowned = True
        job.fail_to_record(Disowned(job.id))

    async def _outcome(self, job: Job, outcome: TaskOutcome) -> None:
        execution = replace(job.execution, use=states.together(job.execution.use, job.use))
        now = self.clock.now()
        ended = states.ended(execution, self._cleaned(job, outcome), at=now)
        last = _last(execution, ended, job)
        delays = iter(RECORD_DELAYS)
        while True:
            try:
                return await self._finish(job, ended, last)
            except Invalid as error:
                if ended.result is None:
                    raise
                ended = states.ended(execution, outcomes.not_storable(str(error)), at=now)
                last = _last(execution, ended, job)
            except Exception as error:
                delay = next(delays, None)
                if delay is None:
                    if isinstance(error, StoreFailed):
                        self.works.start(self._finish_later(job, ended, last), f"outcome of {job.id}")
                    raise
                log.warning("%s: recording its outcome failed, and is tried again: %s", job.id, error)
                await sleep(self.clock, delay)

    async def _finish_later(self, job: Job, ended: Execution, last: Attempt | None) -> None:
        """Nobody waits any more; but left as it is, it would be said to run until the next host judges it."""
        while True:
            await sleep(self.clock, RECORD_DELAYS[-1])
            try:
                if await self.executions.finished(ended, last):
                    self.tell(ended)
                    self.events.announce(ExecutionEnded(ended.installation, ended))
                    log.warning("%s: its outcome %s is recorded at last", job.id, ended.state)
            except StoreFailed:
                continue
            except Exception as error:  # noqa: BLE001 - the store is closed: the next host says what became of it
                log.error("%s: its outcome %s is lost: %s", job.id, ended.state, error)
            return

    async def _finish(self, job: Job, ended: Execution, last: Attempt | None) -> None:
        if await self.executions.finished(ended, last):
            job.execution = ended
            self.tell(ended)
            self.events.announce(ExecutionEnded(ended.installation, ended))
            job.recorded.set_result(ended)
        else:
            await self._settled_as_stored(job)

    async def _settled_as_stored(self, job: Job, *, expected: int | None = None) -> bool:
        """What is in the store stands, whoever wrote it. True: it is queued for the ``expected`` attempt after all."""
        stored = await self.executions.get(job.id)
        if stored.state.is_outcome:
            job.execution = stored
            job.recorded.set_result(stored)
            return False
        if stored.state is ExecutionState.QUEUED and stored.attempt == expected and stored.host == job.execution.host:
            # Written although the store said no.
            return True
        self.disown(job)
        return False

    async def _tried_again(self, job: Job, write: Callable[[], Awaitable[bool]]) -> bool:
        for delay in RECORD_DELAYS:
            try:
                return await write()
            except StoreFailed as error:
                log.warning("%s: recording what became of its attempt failed, and is tried again: %s", job.id, error)
            await sleep(self.clock, delay)
        return await write()

    def _cleaned(self, job: Job, outcome: TaskOutcome) -> TaskOutcome:
        return outcomes.cleaned(outcome, partial(self.plain, job.execution.installation))


def _last(execution: Execution, ended: Execution, job: Job) -> Attempt | None:
    """The attempt that the outcome came of, where it was not the only one."""
    if execution.attempt == 1:
        return None
    assert ended.ended_at is not None
    outcome = TaskOutcome(ended.state, error=ended.error)
    return replace(states.attempt_of(execution, outcome, at=ended.ended_at), use=job.use)
