"""Log: a plugin's own records. The host says whose they are, bounds them, and keeps their time plausible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from moorage.broker.services.base import Caller
from moorage.models.log import LogLine
from moorage_proto import log_pb2, values
from moorage_proto.errors import CallError, Reason, Status

MAX_RECORDS = 1000
MAX_LEVEL = 100
MAX_LOGGER_CHARACTERS = 200
MAX_MESSAGE_CHARACTERS = 64 * 1024
MAX_EXCEPTION_CHARACTERS = 64 * 1024
MAX_FIELDS_BYTES = 16 * 1024

#: Records may be that late, since they come in batches and the worker may have been busy, and that early, since clocks
#: are read at different moments. Beyond, the host's own time counts: a log cannot be written into its past.
MAX_AGE = timedelta(minutes=10)
MAX_LEAD = timedelta(seconds=5)

#: Control characters would steer the terminal of whoever reads the log; they are shown as their pictures.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {
    code: 0x2421 if code == 0x7F else 0xFFFD for code in range(0x7F, 0xA0)
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LogSink(Protocol):
    """``moorage.telemetry.logs.Logs`` is one."""

    def write(self, line: LogLine) -> None:
        """Returns at once."""


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
        """Either all records are written or none.

        Raises CallError(REQUEST_INVALID) for too many records or malformed fields.
        """
        if len(request.records) > MAX_RECORDS:
            raise _invalid(f"A call writes at most {MAX_RECORDS} log records; this one brought {len(request.records)}.")
        now = self._now()
        lines = [_line(caller, record, now) for record in request.records]
        for line in lines:
            self._sink.write(line)
        return log_pb2.WriteLogReply()


def _line(caller: Caller, record: log_pb2.LogRecord, now: datetime) -> LogLine:
    """Installation and incarnation are the link's; a scope that is not the link's names no execution."""
    return LogLine(
        installation=caller.installation,
        incarnation=caller.incarnation,
        time=plausible_time(record.time_micros, now),
        level=min(record.level, MAX_LEVEL),
        logger=clean(record.logger, MAX_LOGGER_CHARACTERS),
        message=clean(record.message, MAX_MESSAGE_CHARACTERS),
        execution=caller.executions.get(record.scope, "") if record.scope else caller.scope.execution,
        fields=_fields(record),
        exception=clean(record.exception, MAX_EXCEPTION_CHARACTERS),
    )


def plausible_time(micros: int, now: datetime) -> datetime:
    """The worker's time, if it can be true; the host's otherwise."""
    age_micros = (now - _EPOCH) // timedelta(microseconds=1) - micros
    if not -MAX_LEAD <= timedelta(microseconds=_bounded(age_micros)) <= MAX_AGE:
        return now
    return _EPOCH + timedelta(microseconds=micros)


def clean(text: str, limit: int) -> str:
    """Bounded, and without control characters other than newline and tab."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = shown.translate(_PICTURES)
    if len(text) > limit:
        return f"{shown}... [{len(text) - limit} more characters were cut]"
    return shown


def _fields(record: log_pb2.LogRecord) -> Mapping[str, Any]:
    size = record.fields.ByteSize()
    if size > MAX_FIELDS_BYTES:
        return {"moorage": f"the fields, {size} bytes, were dropped: the limit is {MAX_FIELDS_BYTES} bytes"}
    try:
        fields = values.record_from_wire(record.fields)
    except values.ValueInvalid as error:
        raise _invalid(f"The fields of a log record cannot be read: {error}.") from None
    return {clean(key, MAX_LOGGER_CHARACTERS): _plain(value) for key, value in fields.items()}


def _plain(value: Any) -> Any:
    """As JSON has it; what JSON has not becomes text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {clean(key, MAX_LOGGER_CHARACTERS): _plain(item) for key, item in value.items()}
    return clean(str(value), MAX_MESSAGE_CHARACTERS)


def _bounded(micros: int) -> int:
    """Within what a timedelta can hold: any 64-bit number may come over the wire."""
    limit = 10**15
    return max(-limit, min(limit, micros))


def _invalid(sentence: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
