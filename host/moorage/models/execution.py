"""One run of a task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from moorage.models.installation import InstallationId


class ExecutionState(StrEnum):
    """Queued and running are open; the others are outcomes, and final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    #: The plugin's code raised, or its commit failed.
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    #: The worker died.
    CRASHED = "crashed"
    #: Not accepted: disabled, held, queue full, input invalid.
    REJECTED = "rejected"
    #: The host died while it ran.
    ABANDONED = "abandoned"

    @property
    def is_outcome(self) -> bool:
        return self not in (ExecutionState.QUEUED, ExecutionState.RUNNING)


@dataclass(frozen=True)
class ExecutionError:
    """Why an execution did not succeed."""

    #: The exception's class, or one of the contract's reasons.
    type: str
    message: str
    traceback: str = ""
    #: The command or the change that helps, if any.
    remedy: str = ""


@dataclass(frozen=True)
class Execution:
    #: "e-" and a sortable unique text.
    id: str
    installation: InstallationId
    plugin: str
    version: str
    task: str
    #: What started it: "manual", "api", "startup".
    trigger: str
    state: ExecutionState
    queued_at: datetime
    input: Any = None
    result: Any = None
    error: ExecutionError | None = None
    attempt: int = 1
    started_at: datetime | None = None
    ended_at: datetime | None = None
    progress: float | None = None
    progress_message: str = ""
    #: As the request asked for; None: the manifest's.
    timeout: timedelta | None = None
    #: Of the worker: python, protobuf and grpcio versions, pid, sandbox level, incarnation number.
    worker: WorkerFacts | None = None

    @property
    def duration(self) -> timedelta | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


@dataclass(frozen=True)
class WorkerFacts:
    """What is known of the worker that ran something."""

    incarnation: str
    number: int
    pid: int
    python: str
    protobuf: str
    grpcio: str
    sandbox_level: str
    #: "zygote" or "fresh".
    start: str = "zygote"


@dataclass(frozen=True)
class TaskOutcome:
    """How the worker's part of one execution ended; the orchestrator turns it into a state."""

    state: ExecutionState
    result: Any = None
    error: ExecutionError | None = None


@dataclass(frozen=True)
class ExecutionRequest:
    """What a trigger, person or API call asks for."""

    installation: InstallationId
    task: str = "execute"
    input: Any = None
    trigger: str = "manual"
    #: Overrides the manifest's timeout.
    timeout: timedelta | None = None
