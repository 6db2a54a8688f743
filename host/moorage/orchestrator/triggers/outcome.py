"""Outcomes of other executions as triggers: "etl/*" has succeeded, so "report" runs.

What ended is read from the store, so nothing is missed over a restart: how far the outcomes were followed is kept with
the trigger, and what may have been written down late is looked at twice. The bus tells at once what ends in this host.
An execution is followed once by each trigger, by its id, on however many hosts that share the store.

A trigger comes once in a chain of executions that each follow on the one before, so that triggers which follow each
other in a circle end it; and a chain has ``MAX_DEPTH`` links at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Protocol

from moorage.clock import Clock, SystemClock, sleep
from moorage.events.bus import EventBus
from moorage.events.events import Event, ExecutionEnded
from moorage.events.subscription import Subscription
from moorage.models.execution import Execution, ExecutionState
from moorage.models.trigger import TriggerId
from moorage.orchestrator.triggers.base import Door, Signal
from moorage.orchestrator.triggers.beside import Beside, taken
from moorage.store.errors import ExecutionUnknown
from moorage.store.outcomes import Followed, Outcome

log = logging.getLogger(__name__)

KIND = "outcome"

#: What is followed where the trigger does not say.
ON = (ExecutionState.SUCCEEDED,)

#: Executions in a row that each follow on the outcome of the one before.
MAX_DEPTH = 16

#: Between two looks at what other hosts have written down.
POLL = timedelta(seconds=5)

#: An outcome is written down so long after its time, at most. What this host itself writes down later, the bus tells.
LATE = timedelta(minutes=1)

#: How far it is, is written down so often. What was taken since is offered again after a restart, and not run again.
SAVE = timedelta(seconds=30)

#: Outcomes that are read at a time.
PAGE = 500


class Outcomes(Protocol):
    """``moorage.store.outcomes.Outcomes``."""

    async def ended(self, after: datetime, execution: str = "", *, limit: int) -> tuple[Outcome, ...]: ...

    async def follow(self, trigger: TriggerId, at: datetime) -> Followed: ...

    async def reached(self, trigger: TriggerId, until: datetime) -> None: ...


class OutcomeSource:
    """Of one trigger."""

    def __init__(
        self,
        trigger: TriggerId,
        followed: str,
        on: Collection[str],
        outcomes: Outcomes,
        get: Callable[[str], Awaitable[Execution]],
        events: EventBus,
        *,
        clock: Clock | None = None,
    ) -> None:
        """``followed``: an installation, or "installation/task", with globs. ``get`` reads one execution whole."""
        self._trigger = trigger
        self._installation, _, self._task = followed.partition("/")
        self._on = frozenset(on or ON)
        self._outcomes = outcomes
        self._get = get
        self._events = events
        self._clock = clock or SystemClock()
        #: When those ended that were brought, or are to be: each is brought once.
        self._seen: dict[str, datetime] = {}
        #: Those of them whose outcome is not recorded yet.
        self._open: dict[str, datetime] = {}
        self._saved = self._clock.now()
        self._turn = asyncio.Lock()

    async def run(self, door: Door) -> None:
        beside = Beside(door)
        endings = self._events.subscribe(ExecutionEnded)
        hearing = asyncio.create_task(self._hear(endings, beside, door), name=f"outcomes for {self._trigger}")
        try:
            followed = await self._outcomes.follow(self._trigger, self._clock.now())
            while True:
                began = self._clock.now()
                await self._scan(max(followed.since, min(followed.until, began) - LATE), beside, door)
                followed = Followed(followed.since, await self._reached(began, followed))
                await sleep(self._clock, POLL)
                if hearing.done():
                    hearing.result()
        finally:
            endings.close()
            hearing.cancel()
            await beside.close()

    async def _hear(self, endings: Subscription[Event], beside: Beside, door: Door) -> None:
        async for event in endings:
            if isinstance(event, ExecutionEnded):
                await self._bring(_outcome(event.execution), beside, door)

    async def _scan(self, after: datetime, beside: Beside, door: Door) -> None:
        last = ""
        while found := await self._outcomes.ended(after, last, limit=PAGE):
            for outcome in found:
                await self._bring(outcome, beside, door)
            after, last = found[-1].ended_at, found[-1].execution

    async def _bring(self, outcome: Outcome, beside: Beside, door: Door) -> None:
        if outcome.execution in self._seen or not self._follows(outcome):
            return
        self._seen[outcome.execution] = self._open[outcome.execution] = outcome.ended_at
        async with self._turn:
            await beside.room()
            beside.start(self._take(outcome, door), f"outcome of {outcome.execution}")

    def _follows(self, outcome: Outcome) -> bool:
        return (
            outcome.state in self._on
            and outcome.trigger_id != self._trigger
            and fnmatchcase(outcome.installation, self._installation)
            and fnmatchcase(outcome.task, self._task or "*")
        )

    async def _take(self, outcome: Outcome, door: Door) -> None:
        with contextlib.suppress(ExecutionUnknown):  # deleted since
            record = ended(await self._get(outcome.execution))
            chain = record["chain"]
            if self._trigger in chain or len(chain) >= MAX_DEPTH:
                log.warning(
                    "%s does not follow on %s: triggers follow each other in a circle, or in too long a row: %s."
                    " Look at them: moorage triggers",
                    self._trigger,
                    outcome.execution,
                    ", ".join(chain),
                )
            else:
                await taken(door, Signal(outcome.execution, record, f"{outcome.execution} ended"), self._clock)
        del self._open[outcome.execution]

    async def _reached(self, began: datetime, followed: Followed) -> datetime:
        """Before then everything is taken; written down now and then."""
        until = max(followed.until, min(self._open.values(), default=began))
        long_ago = until - 2 * LATE
        self._seen = {name: at for name, at in self._seen.items() if at > long_ago or name in self._open}
        if self._clock.now() - self._saved >= SAVE and until > followed.until:
            await self._outcomes.reached(self._trigger, until)
            self._saved = self._clock.now()
        return until


def ended(execution: Execution) -> dict[str, Any]:
    """The fields of the SDK's ``Ended``."""
    error = execution.error
    return {
        "installation": execution.installation,
        "task": execution.task,
        "execution": execution.id,
        "state": execution.state.value,
        "result": execution.result,
        "error_type": "" if error is None else error.type,
        "error": "" if error is None else error.message,
        "plugin": execution.plugin,
        "version": execution.version,
        "attempt": execution.attempt,
        "ended_at": execution.ended_at,
        "chain": _chain(execution),
    }


def _chain(execution: Execution) -> list[str]:
    """Triggers by which it has followed on outcomes, the first one first; also where a person tried it again."""
    before = execution.input
    if not (execution.trigger == KIND or execution.retry_of) or not isinstance(before, dict):
        return []
    chain = before.get("chain")
    chain = [str(each) for each in chain] if isinstance(chain, (list, tuple)) else []
    return [*chain, execution.trigger_id] if execution.trigger_id else chain


def _outcome(execution: Execution) -> Outcome:
    assert execution.ended_at is not None, "it has ended"
    return Outcome(
        execution.id, execution.installation, execution.task, execution.state, execution.trigger_id, execution.ended_at
    )
