"""Executions and the order to run one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from pydantic import AwareDatetime, Field, JsonValue

from moorage.models import execution as models
from moorage.models.execution import ExecutionState
from moorage.web.schemas.base import Document, Input, Order
from moorage.web.values import to_json


class ExecutionError(Document):
    type: str
    message: str
    traceback: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, error: models.ExecutionError) -> Self:
        return cls(type=error.type, message=error.message, traceback=error.traceback, remedy=error.remedy)


class WorkerFacts(Document):
    """The worker that ran it."""

    incarnation: str
    number: int
    pid: int
    python: str
    protobuf: str
    grpcio: str
    sandbox_level: str
    start: str

    @classmethod
    def of(cls, facts: models.WorkerFacts) -> Self:
        return cls(
            incarnation=facts.incarnation,
            number=facts.number,
            pid=facts.pid,
            python=facts.python,
            protobuf=facts.protobuf,
            grpcio=facts.grpcio,
            sandbox_level=facts.sandbox_level,
            start=facts.start,
        )


class ResourceUse(Document):
    """As the host measured it."""

    cpu_seconds: float | None = Field(default=None, description="Of its worker while it ran.")
    peak_memory_bytes: int | None = Field(default=None, description="Of its worker while it ran, as far as seen.")
    calls: int = Field(default=0, description="To the host, those denied among them.")
    denied: int = 0
    bytes: int = Field(default=0, description="Of the requests and replies of these calls.")

    @classmethod
    def of(cls, use: models.ResourceUse) -> Self:
        return cls(
            cpu_seconds=use.cpu_seconds,
            peak_memory_bytes=use.peak_memory_bytes,
            calls=use.calls,
            denied=use.denied,
            bytes=use.bytes,
        )


class Attempt(Document):
    """One try of an execution that has ended."""

    number: int
    state: ExecutionState
    started_at: datetime | None = None
    ended_at: datetime
    error: ExecutionError | None = None
    worker: WorkerFacts | None = None
    use: ResourceUse | None = None

    @classmethod
    def of(cls, attempt: models.Attempt) -> Self:
        return cls(
            number=attempt.number,
            state=attempt.state,
            started_at=attempt.started_at,
            ended_at=attempt.ended_at,
            error=None if attempt.error is None else ExecutionError.of(attempt.error),
            worker=None if attempt.worker is None else WorkerFacts.of(attempt.worker),
            use=None if attempt.use is None else ResourceUse.of(attempt.use),
        )


class LogRange(Document):
    """Its lines in the log, among which there may be others'."""

    first: int = Field(description="Id of its first line; 0: it has none.")
    last: int
    count: int


class Execution(Document):
    """One run of a task. A list has it without input, result and traceback."""

    id: str
    installation: str
    plugin: str
    version: str
    task: str
    trigger: str
    state: ExecutionState
    finished: bool = Field(description="Whether the state is an outcome.")
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: float | None = None
    attempt: int = 1
    progress: float | None = Field(default=None, description="0 to 1, as the plugin reports it.")
    progress_message: str = ""
    input: JsonValue = None
    result: JsonValue = None
    error: ExecutionError | None = None
    worker: WorkerFacts | None = None
    trigger_id: str = Field(default="", description="Of the trigger that started it; empty: none did.")
    by: str = Field(default="", description="Who asked for it; empty: nobody in person.")
    key: str = Field(default="", description="Its caller's own name for it; the same key is never run twice.")
    retry_of: str = Field(default="", description="The ended execution that it is another try of.")
    due_at: datetime | None = Field(default=None, description="It does not begin, or is not tried again, before.")
    host: str = Field(default="", description="Id of the host that has it, or had it.")
    use: ResourceUse | None = Field(default=None, description="Over all attempts.")

    @classmethod
    def of(cls, execution: models.Execution) -> Self:
        return cls(
            id=execution.id,
            installation=execution.installation,
            plugin=execution.plugin,
            version=execution.version,
            task=execution.task,
            trigger=execution.trigger,
            state=execution.state,
            finished=execution.state.is_outcome,
            queued_at=execution.queued_at,
            started_at=execution.started_at,
            ended_at=execution.ended_at,
            duration_seconds=None if execution.duration is None else execution.duration.total_seconds(),
            attempt=execution.attempt,
            progress=None if execution.progress is None else to_json(execution.progress),
            progress_message=execution.progress_message,
            input=to_json(execution.input),
            result=to_json(execution.result),
            error=None if execution.error is None else ExecutionError.of(execution.error),
            worker=None if execution.worker is None else WorkerFacts.of(execution.worker),
            trigger_id=execution.trigger_id,
            by=execution.by,
            key=execution.key,
            retry_of=execution.retry_of,
            due_at=execution.due_at,
            host=execution.host,
            use=None if execution.use is None else ResourceUse.of(execution.use),
        )


class ExecutionPage(Execution):
    """One execution with all that is known of it."""

    attempts: list[Attempt] = Field(default_factory=list, description="Those that have ended, if there are several.")
    logs: LogRange = LogRange(first=0, last=0, count=0)

    @classmethod
    def whole(cls, execution: models.Execution, history: models.ExecutionHistory) -> Self:
        logs = history.logs
        return cls.of(execution).model_copy(
            update={
                "attempts": [Attempt.of(attempt) for attempt in history.attempts],
                "logs": LogRange(first=logs.first, last=logs.last, count=logs.count),
            }
        )


class RunOrder(Order):
    task: str = Field(default="execute", min_length=1)
    input: Input = Field(default=None, description="The task's input, as its JSON Schema says.")
    wait: bool = Field(default=False, description="Answer when there is an outcome, not at once.")
    timeout_seconds: float | None = Field(
        default=None, gt=0, le=30 * 86_400, description="Longest run; by default the plugin's own limit."
    )
    key: str = Field(
        default="",
        max_length=300,
        description="The same key again is the same execution: it is not run twice.",
    )
    due_at: AwareDatetime | None = Field(default=None, description="Not before, with its zone.")
    attempts: int | None = Field(
        default=None, ge=1, le=100, description="Tries, the first included; by default as the policy says."
    )
    trigger: Literal["api", "manual"] = Field(default="api", description="Recorded as what started it.")

    def request(self, installation: str) -> models.ExecutionRequest:
        return models.ExecutionRequest(
            installation=installation,
            task=self.task,
            input=self.input,
            trigger=self.trigger,
            timeout=None if self.timeout_seconds is None else timedelta(seconds=self.timeout_seconds),
            key=self.key,
            due_at=None if self.due_at is None else self.due_at.astimezone(UTC),
            attempts=self.attempts,
        )
