"""Execution: what a running task tells of itself."""

from __future__ import annotations

import math
from collections.abc import Callable

from moorage.broker.services.base import Caller
from moorage_proto import execution_pb2
from moorage_proto.errors import CallError, Reason, Status

MAX_MESSAGE_CHARACTERS = 500

#: Called with the execution's id, the fraction done (0.0 to 1.0) and a message; must not block.
OnProgress = Callable[[str, float, str], None]


class ExecutionService:
    contract = execution_pb2.DESCRIPTOR.services_by_name["ExecutionService"]

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def report_progress(
        self, caller: Caller, request: execution_pb2.ReportProgressRequest
    ) -> execution_pb2.ReportProgressReply:
        execution = caller.scope.execution
        if not execution:
            raise _invalid("Progress belongs to an execution; report it while a task runs.")
        if math.isnan(request.fraction):
            raise _invalid("Progress is a fraction between 0.0 and 1.0, and this is not a number.")
        fraction = min(1.0, max(0.0, request.fraction))
        self._on_progress(execution, fraction, request.message[:MAX_MESSAGE_CHARACTERS])
        return execution_pb2.ReportProgressReply()


def _invalid(sentence: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
