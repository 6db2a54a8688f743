"""What a task knows of the execution it is."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Optional

from moorage_proto.errors import Reason, Status
from moorage_sdk.channel import Channel
from moorage_sdk.errors import Cancelled
from moorage_sdk.scope import Scope
from moorage_sdk.services.events import Event
from moorage_sdk.services.execution import ProgressReports


class Context:
    """Injected where a parameter is annotated ``Context``. In hooks there is no execution: ``execution`` is empty."""

    def __init__(
        self,
        *,
        installation: str,
        scope: Scope,
        channel: Channel,
        task: str = "",
        deadline: Optional[datetime] = None,
        event: Optional[Event] = None,
    ) -> None:
        #: Name under which this plugin is installed.
        self.installation = installation
        #: Name of the running task.
        self.task = task
        #: Id of the execution; the same for each of its attempts.
        self.execution = scope.execution
        #: 1 for the first.
        self.attempt = scope.attempt
        #: What started it: "manual", "cron".
        self.trigger = scope.trigger
        #: When the host will cancel the task; aware UTC, None: never.
        self.deadline = deadline
        #: In a handler, what it was called with.
        self.event = event
        self._cancelled = threading.Event()
        self._progress = ProgressReports(channel, scope)

    @property
    def cancelled(self) -> bool:
        """Whether the host asked the task to end. Coroutines are cancelled by themselves; sync code looks here."""
        return self._cancelled.is_set()

    def wait_cancelled(self, timeout_seconds: float) -> bool:
        """A sleep for sync code that ends early, with True, when the task is cancelled."""
        return self._cancelled.wait(timeout_seconds)

    def raise_if_cancelled(self) -> None:
        """Raises Cancelled when the host asked the task to end."""
        if self.cancelled:
            raise cancelled(self.task)

    @property
    def remaining(self) -> Optional[timedelta]:
        """Time until the deadline, negative after it; None: no deadline."""
        return None if self.deadline is None else self.deadline - datetime.now(timezone.utc)

    def progress(self, fraction: float, message: str = "") -> None:
        """Tells people how far the execution is: ``fraction`` from 0.0 to 1.0.

        Never waits, from sync and async code alike; of reports that come faster than the host takes them, the
        newest counts. Raises ValueError for a fraction outside the range, RuntimeError outside an execution.
        """
        if not self.execution:
            raise RuntimeError("progress belongs to an execution, and this code runs in none")
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"progress goes from 0.0 to 1.0, {fraction} was reported")
        self._progress.report(fraction, message)

    def cancel(self) -> None:
        """For the runtime."""
        self._cancelled.set()

    async def finish(self) -> None:
        """For the runtime, before the reply: the newest report arrives."""
        await self._progress.drain()


def cancelled(task: str) -> Cancelled:
    return Cancelled(Status.CANCELLED, Reason.CANCELLED, f"task {task!r} was cancelled")
