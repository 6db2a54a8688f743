"""Executions and the order to run one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import Field, JsonValue

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


class Execution(Document):
    """One run of a task."""

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
        )


class RunOrder(Order):
    task: str = Field(default="execute", min_length=1)
    input: Input = Field(default=None, description="The task's input, as its JSON Schema says.")
    wait: bool = Field(default=False, description="Answer when there is an outcome, not at once.")
    timeout_seconds: float | None = Field(
        default=None, gt=0, le=30 * 86_400, description="Longest run; by default the plugin's own limit."
    )
    trigger: Literal["api", "manual"] = Field(default="api", description="Recorded as what started it.")

    def request(self, installation: str) -> models.ExecutionRequest:
        return models.ExecutionRequest(
            installation=installation,
            task=self.task,
            input=self.input,
            trigger=self.trigger,
            timeout=None if self.timeout_seconds is None else timedelta(seconds=self.timeout_seconds),
        )
