"""What becomes of executions that ran when their host died."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from moorage.clock import Clock, sleep
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEnded, ExecutionRetried
from moorage.models.execution import Execution, TaskOutcome
from moorage.models.policy import RunPolicy
from moorage.orchestrator import outcomes, retries, states
from moorage.orchestrator.conductor import Committed
from moorage.store.executions import Executions

log = logging.getLogger(__name__)

#: Between two questions to a database that cannot be asked; the last of them goes on until PATIENCE is over.
ASK_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 5, 10, 30))
#: How long a database is asked whether it has committed, before it is judged without its word.
PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Recovery:
    """Judges by what is written, in this order: committed, then to be tried again, else abandoned."""

    executions: Executions
    events: EventBus
    clock: Clock
    committed: Committed
    tell: Callable[[Execution], None]

    async def judge(self, execution: Execution, policy: RunPolicy | None) -> Execution | None:
        """Of one that this host has now, and that was running. Returns it with its outcome, or queued for another
        attempt; None: somebody else has given it one, or taken it.

        ``policy`` None: its installation is gone, and nothing can be tried again. Raises StoreFailed.
        """
        known, committed = await self._ask(execution)
        if committed:
            return await self.end(execution, outcomes.committed())
        outcome = outcomes.abandoned(known=known)
        if policy is not None and retries.outlives(execution, policy):
            return await self._again(execution, outcome, retries.backoff(execution.attempt, policy))
        return await self.end(execution, outcome)

    async def _ask(self, execution: Execution) -> tuple[bool, bool]:
        """Whether it could be asked, and whether it has committed."""
        began, tried = self.clock.elapsed(), 0
        while True:
            try:
                return True, await self.committed(execution.id)
            except Exception as error:  # noqa: BLE001 - whatever a database's driver raises, it was not asked
                if self.clock.elapsed() - began >= PATIENCE:
                    log.error("%s: it is judged without knowing whether it has committed: %s", execution.id, error)
                    return False, False
                log.warning("%s: whether it has committed is asked again: %s", execution.id, error)
            await sleep(self.clock, ASK_DELAYS[min(tried, len(ASK_DELAYS) - 1)])
            tried += 1

    async def end(self, execution: Execution, outcome: TaskOutcome) -> Execution | None:
        """Records the outcome of one that this host has now. None: as ``judge``."""
        now = self.clock.now()
        ended = states.ended(execution, outcome, at=now)
        if not ended.error:
            ended = replace(ended, progress=1.0, progress_message=outcomes.COMMITTED_BEFORE)
        last = None
        if execution.attempt > 1:
            last = states.attempt_of(execution, outcome, at=now)
        if not await self.executions.finished(ended, last):
            return None
        self.tell(ended)
        self.events.announce(ExecutionEnded(ended.installation, ended))
        return ended

    async def _again(self, execution: Execution, outcome: TaskOutcome, delay: timedelta) -> Execution | None:
        now = self.clock.now()
        queued, attempt = states.again(execution, outcome, at=now, due_at=now + delay)
        if not await self.executions.again(queued, attempt):
            return None
        log.info("%s: its host died; attempt %d follows", execution.id, queued.attempt)
        self.events.announce(ExecutionRetried(queued.installation, queued, attempt))
        return queued
