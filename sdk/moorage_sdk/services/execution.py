"""Progress of the running execution, told to the host."""

from __future__ import annotations

import logging
import threading
from typing import Optional, Tuple

from moorage_proto import execution_pb2
from moorage_proto.methods import Method, service_methods
from moorage_sdk import scope
from moorage_sdk.channel import Channel
from moorage_sdk.errors import MoorageError
from moorage_sdk.scope import Scope

log = logging.getLogger(__name__)

_REPORT: Method[execution_pb2.ReportProgressRequest, execution_pb2.ReportProgressReply] = service_methods(
    execution_pb2, "ExecutionService"
)["report_progress"]


class ProgressReports:
    """At most one report is on its way; of those that come meanwhile the newest is kept."""

    def __init__(self, channel: Channel, scope: Scope) -> None:
        self._channel = channel
        self._scope = scope
        self._lock = threading.Lock()
        self._newest: Optional[Tuple[float, str]] = None
        self._on_its_way = False

    def report(self, fraction: float, message: str) -> None:
        with self._lock:
            self._newest = (fraction, message)
            if self._on_its_way:
                return
            self._on_its_way = True
        self._send_newest()

    def flush(self) -> None:
        if self._newest is not None:
            self._send_newest()

    def _send_newest(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, None
            self._on_its_way = newest is not None
        if newest is None:
            return
        request = execution_pb2.ReportProgressRequest(fraction=newest[0], message=newest[1])
        with scope.entered(self._scope):
            try:
                future = self._channel.submit(_REPORT, request)
            except MoorageError as error:
                log.debug("progress was not reported: %s", error)
                self._on_its_way = False
                return
        future.add_done_callback(lambda _: self._send_newest())
