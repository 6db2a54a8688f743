"""Progress of the running execution, told to the host."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from typing import Any, Optional, Tuple

from moorage_proto import execution_pb2
from moorage_proto.methods import Method, service_methods
from moorage_sdk import scope
from moorage_sdk.channel import Channel
from moorage_sdk.errors import MoorageError
from moorage_sdk.scope import Scope

log = logging.getLogger(__name__)

#: How long the end of a scope waits for the newest report to arrive.
DRAIN_TIMEOUT_SECONDS = 5.0

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
        self._on_its_way: Optional[concurrent.futures.Future[None]] = None

    def report(self, fraction: float, message: str) -> None:
        """Never waits; from any thread."""
        with self._lock:
            self._newest = (fraction, message)
            if self._on_its_way is not None:
                return
            self._on_its_way = concurrent.futures.Future()
        self._send_newest()

    async def drain(self) -> None:
        """Waits, bounded, until the newest report has arrived: a scope may not end with a call unanswered."""
        on_its_way = self._on_its_way
        if on_its_way is not None:
            await asyncio.wait((asyncio.wrap_future(on_its_way),), timeout=DRAIN_TIMEOUT_SECONDS)

    def _send_newest(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, None
            if newest is None:
                arrived, self._on_its_way = self._on_its_way, None
        if newest is None:
            if arrived is not None:
                arrived.set_result(None)
            return
        request = execution_pb2.ReportProgressRequest(fraction=newest[0], message=newest[1])
        with scope.entered(self._scope):
            future = self._submit(request)
        future.add_done_callback(lambda _: self._send_newest())

    def _submit(self, request: execution_pb2.ReportProgressRequest) -> concurrent.futures.Future[Any]:
        """Progress is told as far as possible: a failure is no business of the task."""
        try:
            return self._channel.submit(_REPORT, request)
        except MoorageError as error:
            log.debug("progress was not reported: %s", error)
            done: concurrent.futures.Future[Any] = concurrent.futures.Future()
            done.set_result(None)
            return done
