"""Log: a plugin's own records. The host says whose they are; the sink masks, bounds and cleans them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from moorage.broker.services.base import Caller
from moorage.models.installation import InstallationId
from moorage.models.log import LogLine
from moorage.telemetry.logs import HOST_LOGGER
from moorage.telemetry.plain import neutralise
from moorage_proto import log_pb2, values
from moorage_proto.errors import CallError, Reason, Status

#: Of one call, which is worked off in the link's reader.
MAX_RECORDS = 1000
MAX_BYTES = 2 * 1024 * 1024
#: Of one record.
MAX_FIELDS_BYTES = 16 * 1024
#: Of the records of one call together: of few bytes there may be very many values.
MAX_ALL_FIELDS_BYTES = 256 * 1024

MAX_LEVEL = 100

#: Under these the host writes: its own lines, and what it captures. A plugin's loggers of these names get a prefix.
RESERVED_LOGGERS = frozenset({HOST_LOGGER, "stdout", "stderr"})

#: Records may be that late, since they come in batches and the worker may have been busy, and that early, since clocks
#: are read at different moments. Beyond, the host's own time counts: a log cannot be written into its past.
MAX_AGE = timedelta(minutes=10)
MAX_LEAD = timedelta(seconds=5)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class LogSink(Protocol):
    """``moorage.telemetry.logs.Logs`` is one."""

    def room(self, installation: InstallationId) -> int:
        """How many more of its lines would be kept now."""

    def write(self, line: LogLine) -> None:
        """Returns at once."""

    def drop(self, installation: InstallationId, incarnation: str, count: int) -> None:
        """Lines that were not even read; the log tells how many."""


class LogService:
    contract = log_pb2.DESCRIPTOR.services_by_name["LogService"]

    def __init__(self, sink: LogSink, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._sink = sink
        self._now = now

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close; the sink is its owner's."""

    def write(self, caller: Caller, request: log_pb2.WriteLogRequest) -> log_pb2.WriteLogReply:
        """Of a flood, records that would not be kept are counted and not looked at: each costs the event loop some
        microseconds. Of the others either all are written or none.

        Raises CallError(REQUEST_INVALID) for too much at one time or malformed fields.
        """
        if len(request.records) > MAX_RECORDS:
            raise _invalid(f"A call writes at most {MAX_RECORDS} log records; this one brought {len(request.records)}.")
        if (size := request.ByteSize()) > MAX_BYTES:
            raise _invalid(f"A call writes at most {MAX_BYTES:,} bytes of log; this one brought {size:,}.")
        now = self._now()
        room = self._sink.room(caller.installation)
        for line in _lines(caller, request.records[:room], now):
            self._sink.write(line)
        if len(request.records) > room:
            self._sink.drop(caller.installation, caller.incarnation, len(request.records) - room)
        return log_pb2.WriteLogReply()


def _lines(caller: Caller, records: Sequence[log_pb2.LogRecord], now: datetime) -> list[LogLine]:
    lines, left = [], MAX_ALL_FIELDS_BYTES
    for record in records:
        size = record.fields.ByteSize()
        lines.append(_line(caller, record, now, _fields(record, size, left)))
        left -= min(size, MAX_FIELDS_BYTES)
    return lines


def _line(caller: Caller, record: log_pb2.LogRecord, now: datetime, fields: Mapping[str, Any]) -> LogLine:
    """Installation and incarnation are the link's; a scope that is not the link's names no execution."""
    # As it will be shown: an escape sequence in a name must not make it a reserved one.
    logger = neutralise(record.logger).strip() or "root"
    return LogLine(
        installation=caller.installation,
        incarnation=caller.incarnation,
        time=plausible_time(record.time_micros, now),
        level=min(record.level, MAX_LEVEL),
        logger=f"plugin.{logger}" if logger in RESERVED_LOGGERS else logger,
        message=record.message,
        execution=caller.executions.get(record.scope, "") if record.scope else caller.scope.execution,
        fields=fields,
        exception=record.exception,
    )


def plausible_time(micros: int, now: datetime) -> datetime:
    """The worker's time, if it can be true; the host's otherwise."""
    earliest = (now - MAX_AGE - _EPOCH) // _MICROSECOND
    latest = (now + MAX_LEAD - _EPOCH) // _MICROSECOND
    return _EPOCH + micros * _MICROSECOND if earliest <= micros <= latest else now


def _fields(record: log_pb2.LogRecord, size: int, left: int) -> Mapping[str, Any]:
    if size > MAX_FIELDS_BYTES:
        return {"moorage": f"the fields, {size:,} bytes, were dropped: the limit is {MAX_FIELDS_BYTES:,} bytes"}
    if size > left:
        limit = f"{MAX_ALL_FIELDS_BYTES:,} bytes for the records of one call"
        return {"moorage": f"the fields, {size:,} bytes, were dropped: the limit is {limit}"}
    try:
        return values.record_from_wire(record.fields)
    except values.ValueInvalid as error:
        raise _invalid(f"The fields of a log record cannot be read: {error}.") from None


def _invalid(sentence: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
