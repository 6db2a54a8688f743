"""One run of a task."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from moorage.models.installation import InstallationId
from moorage.models.log import LogRange
from moorage.models.policy import Overlap


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
    #: What kind of thing started it, for people: "manual", "api", "application", or the kind of its trigger.
    trigger: str
    state: ExecutionState
    queued_at: datetime
    input: Any = None
    result: Any = None
    error: ExecutionError | None = None
    #: The present or last one; 1: it was never begun again.
    attempt: int = 1
    started_at: datetime | None = None
    ended_at: datetime | None = None
    progress: float | None = None
    progress_message: str = ""
    #: As the request asked for; None: the manifest's.
    timeout: timedelta | None = None
    #: Of the worker: python, protobuf and grpcio versions, pid, sandbox level, incarnation number.
    worker: WorkerFacts | None = None
    #: Id of the trigger that started it: "churn/nightly"; empty: a person or an application did.
    trigger_id: str = ""
    #: Who asked for it; empty: nobody in person.
    by: str = ""
    #: Its caller's own name for it: the same key never makes a second execution. Unique among all; empty: it has none.
    key: str = ""
    #: The ended execution that it is another try of; empty: it is none.
    retry_of: str = ""
    #: It does not begin before; None: at once.
    due_at: datetime | None = None
    #: The host that has it in its queue, or runs it.
    host: str = ""
    #: What it used, over all attempts.
    use: ResourceUse | None = None
    #: It waits while its installation may not run, instead of being rejected.
    patient: bool = False
    #: Attempts that it may have, the first included, as its request asked for; None: the policy's.
    attempts: int | None = None

    @property
    def duration(self) -> timedelta | None:
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


@dataclass(frozen=True)
class ResourceUse:
    """What an execution used, as the host measured it."""

    #: Processor time of its worker while it ran: with others at the same time, theirs too. None: not known.
    cpu_seconds: float | None = None
    #: The most memory that its worker had while it ran. None: not known.
    peak_memory_bytes: int | None = None
    #: Calls through the gate in its scope, those denied among them.
    calls: int = 0
    denied: int = 0
    #: Of the requests and replies of these calls.
    bytes: int = 0


@dataclass(frozen=True)
class Attempt:
    """One try of an execution that has ended."""

    execution: str
    #: From 1 on.
    number: int
    state: ExecutionState
    started_at: datetime | None
    ended_at: datetime
    error: ExecutionError | None = None
    worker: WorkerFacts | None = None
    use: ResourceUse | None = None


@dataclass(frozen=True)
class ExecutionHistory:
    """What is known of an execution beside itself."""

    #: Those that have ended, oldest first; none where there was only one.
    attempts: tuple[Attempt, ...]
    #: What it wrote to its log.
    logs: LogRange


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
    #: Overrides the policy's timeout.
    timeout: timedelta | None = None
    #: As the fields of an execution of the same names.
    trigger_id: str = ""
    by: str = ""
    key: str = ""
    retry_of: str = ""
    due_at: datetime | None = None
    patient: bool = False
    #: Overrides the policy's attempts (1 + retries).
    attempts: int | None = None
    #: Overrides the policy's.
    overlap: Overlap | None = None
