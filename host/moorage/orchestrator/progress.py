"""What a running task tells of itself, written at a bounded pace: the newest report counts."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from moorage.clock import Clock, sleep
from moorage.errors import MoorageError
from moorage.events.bus import EventBus
from moorage.events.events import ExecutionProgressed
from moorage.orchestrator.job import Job
from moorage.store.executions import Executions

log = logging.getLogger(__name__)

#: Between two writes of one execution's progress.
INTERVAL = timedelta(milliseconds=250)


@dataclass(frozen=True)
class ProgressWriter:
    executions: Executions
    events: EventBus
    clock: Clock

    async def follow(self, job: Job) -> None:
        """Writes what is new until nothing is. The last word is written with the outcome, whatever happens here."""
        written: tuple[float | None, str] = (None, "")
        while job.running and written != (newest := _progress(job)) and newest[0] is not None:
            written = newest
            await self._write(job)
            await sleep(self.clock, INTERVAL)

    async def _write(self, job: Job) -> None:
        execution = job.execution
        assert execution.progress is not None
        try:
            there = await self.executions.progressed(
                job.id, progress=execution.progress, message=execution.progress_message, host=execution.host
            )
        except MoorageError as error:
            log.warning("%s: its progress was not stored: %s", job.id, error)
        else:
            if there:
                self.events.announce(ExecutionProgressed(execution.installation, execution))


def reported(job: Job, fraction: float, message: str) -> None:
    """Takes a report; only in memory."""
    job.execution = replace(job.execution, progress=fraction, progress_message=message)


def _progress(job: Job) -> tuple[float | None, str]:
    return job.execution.progress, job.execution.progress_message
