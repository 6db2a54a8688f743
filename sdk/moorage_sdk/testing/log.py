"""What a plugin logged, for tests: ``moorage.logs``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, List, Mapping

from moorage_proto import link_pb2, log_pb2, values
from moorage_sdk.testing.base import FakeCaller

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class LogLine:
    """One record as the host would keep it."""

    time: datetime
    #: "INFO"
    level: str
    logger: str
    message: str
    #: Logging's ``extra``.
    fields: Mapping[str, Any]
    #: The traceback, if any.
    exception: str
    #: The execution it was written in; empty: none.
    execution: str


class FakeLog:
    name = "log"
    contract = log_pb2.DESCRIPTOR.services_by_name["LogService"]

    def __init__(self) -> None:
        self.lines: List[LogLine] = []

    def write(self, caller: FakeCaller, request: log_pb2.WriteLogRequest) -> log_pb2.WriteLogReply:
        for record in request.records:
            self.lines.append(
                LogLine(
                    _EPOCH + timedelta(microseconds=record.time_micros),
                    logging.getLevelName(record.level),
                    record.logger,
                    record.message,
                    values.record_from_wire(record.fields),
                    record.exception,
                    "" if record.scope == caller.scope.id else record.scope,
                )
            )
        return log_pb2.WriteLogReply()

    def describe(self, welcome: link_pb2.Welcome) -> None:
        welcome.log_level = "INFO"

    def close(self) -> None:
        """Nothing is held."""
