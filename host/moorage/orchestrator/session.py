"""What the orchestrator needs of the supervisor."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from moorage.models.execution import Execution, ResourceUse, TaskOutcome, WorkerFacts
from moorage.models.installation import InstallationId


class WorkerSession(Protocol):
    """A ready worker, lent for one execution."""

    @property
    def facts(self) -> WorkerFacts: ...

    async def run_task(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        """Runs the task in a scope of its own, and ends the scope: it returns after the commit or the rollback.

        The outcome is ``succeeded``, ``failed``, ``timed_out``, ``cancelled``, ``crashed`` when the worker died, or
        ``rejected`` when the plugin has no such task or its input does not fit. Cancelled, it cancels the plugin's
        work and rolls back before it raises CancelledError; if the work was done by then, it returns the outcome.
        """

    def use_of(self, execution: str) -> ResourceUse | None:
        """What a run that has ended used, however it ended; asked once, afterwards it is forgotten. None: not known."""


class SessionSource(Protocol):
    def session(self, installation: InstallationId) -> AbstractAsyncContextManager[WorkerSession]:
        """A ready worker, started if there is none.

        Entering raises a Conflict or NotFound where the installation may not run now (disabled, held, in quarantine,
        not granted): the execution is then rejected. Whatever else it raises makes it fail.
        """
