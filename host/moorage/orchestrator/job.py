"""One open execution in this host."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta

from moorage.clock import Alarm, Clock
from moorage.models.execution import Execution, ExecutionState, ResourceUse, TaskOutcome
from moorage.models.manifest import Limits
from moorage.models.policy import RunPolicy

#: Added to the time in which an installation's worker should start, and an old one drain: this is the last resort
#: against a start that never ends, the supervisor's own deadlines come before.
WORKER_MARGIN = timedelta(minutes=5)


class Job:
    """Its execution as it is now, and what interrupts it. Changed by the orchestrator and its conductor alone."""

    def __init__(self, execution: Execution, limits: Limits, policy: RunPolicy) -> None:
        self.execution = execution
        self.policy = policy
        self.worker_patience = limits.start_timeout + limits.drain_timeout + WORKER_MARGIN
        #: Done with the outcome that stands unless the work has succeeded by then; queued: the next host's. Of the
        #: present attempt: what comes after its end is for the next one.
        self.interruption: asyncio.Future[TaskOutcome] = asyncio.get_running_loop().create_future()
        #: A person, or another execution, wants it ended: there is no further attempt, however this one goes.
        self.called_off = False
        #: What the present attempt has used.
        self.use: ResourceUse | None = None
        #: Open ones that it does not begin before: it takes their place.
        self.behind: set[str] = set()
        #: Of one that was tried here: when its pause is over, however the wall clock is set meanwhile.
        self.rests_until: timedelta | None = None
        #: Why it could not run when its turn came.
        self.hindrance = ""
        #: Another host has it by now, or will have it; what becomes of it is in the store.
        self.disowned = False
        #: Done with the execution as it is stored, when it has its outcome.
        self.recorded: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        self._alarm: Alarm | None = None
        #: When the alarm rings, and with what; kept while it is held.
        self._due: tuple[timedelta, TaskOutcome] | None = None
        self._holds = 0
        self._held_at: timedelta | None = None

    @property
    def timeout(self) -> timedelta:
        return self.execution.timeout or self.policy.timeout

    @property
    def group(self) -> str:
        """Those of one group overlap: of one trigger, or of one task where no trigger started them."""
        return group_of(self.execution.trigger_id, self.execution.task)

    @property
    def id(self) -> str:
        return self.execution.id

    @property
    def running(self) -> bool:
        return self.execution.state is ExecutionState.RUNNING

    def interrupt(self, outcome: TaskOutcome) -> None:
        """The first interruption counts."""
        if not self.interruption.done():
            self.interruption.set_result(outcome)

    def renew(self) -> None:
        """The present attempt has ended: what interrupts it from now on is not for it."""
        self.silence()
        self.interruption = asyncio.get_running_loop().create_future()

    def interrupt_after(self, clock: Clock, delay: timedelta, outcome: TaskOutcome) -> None:
        """In place of the alarm set before."""
        self.silence()
        self._due = (clock.elapsed() + delay, outcome)
        if not self._holds:
            self._alarm = clock.call_later(delay, lambda: self.interrupt(outcome))

    @contextlib.contextmanager
    def held(self, clock: Clock) -> Iterator[None]:
        """Its time stands still while a developer looks at it under a debugger. May be entered again meanwhile."""
        if self._held_at is None:
            self._held_at = clock.elapsed()
        self._holds += 1
        if self._alarm is not None:
            self._alarm.cancel()
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._go_on(clock)

    def _go_on(self, clock: Clock) -> None:
        since, self._held_at = self._held_at, None
        if self._due is not None and since is not None:
            due, outcome = self._due
            self.interrupt_after(clock, due - since, outcome)

    def silence(self) -> None:
        self._due = None
        if self._alarm is not None:
            self._alarm.cancel()

    def fail_to_record(self, error: Exception) -> None:
        """There is nothing more to wait for here; ``error`` says why. Nobody may be waiting."""
        self.recorded.set_exception(error)
        self.recorded.exception()


def group_of(trigger_id: str, task: str) -> str:
    return f"trigger {trigger_id}" if trigger_id else f"task {task}"
