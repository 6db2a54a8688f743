"""Progress that a task reported, for tests: ``moorage.run(execute).progress``."""

from __future__ import annotations

from typing import List, Tuple

from moorage_proto import execution_pb2, link_pb2
from moorage_sdk.testing.base import FakeCaller


class FakeExecution:
    name = "execution"
    contract = execution_pb2.DESCRIPTOR.services_by_name["ExecutionService"]

    def __init__(self) -> None:
        #: Execution, fraction, message.
        self.reports: List[Tuple[str, float, str]] = []

    def report_progress(
        self, caller: FakeCaller, request: execution_pb2.ReportProgressRequest
    ) -> execution_pb2.ReportProgressReply:
        self.reports.append((caller.scope.execution, request.fraction, request.message))
        return execution_pb2.ReportProgressReply()

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """The handshake says nothing of it."""

    def close(self) -> None:
        """Nothing is held."""
