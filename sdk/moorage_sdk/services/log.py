"""The plugin's log: records of Python's logging go to the host, in batches, without holding the plugin up."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import logging
import threading
from typing import Any, Deque, Dict, List, Mapping, Tuple

from moorage_proto import log_pb2, value_pb2, values
from moorage_proto.methods import Method, service_methods
from moorage_sdk import scope, tracebacks
from moorage_sdk.channel import Channel
from moorage_sdk.errors import MoorageError
from moorage_sdk.services.base import Ask, Provided

#: Records that wait to be sent, and their bytes. The newest are dropped beyond that, and counted.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 4 * 1024 * 1024

#: Of one call.
MAX_BATCH = 500
MAX_BATCH_BYTES = 512 * 1024

#: Of one message; the rest is cut off.
MAX_MESSAGE_CHARACTERS = 64_000

#: How long the end of a scope waits for the host to take the log.
FLUSH_TIMEOUT_SECONDS = 5.0

_WRITE: Method[log_pb2.WriteLogRequest, log_pb2.WriteLogReply] = service_methods(log_pb2, "LogService")["write"]

#: What every record has; the rest is the caller's ``extra``.
_ORDINARY = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class HostHandler(logging.Handler):
    """Put on the root logger by the bootstrap. One batch is on its way at a time; the next collects meanwhile."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._state = threading.Lock()
        self._waiting: Deque[log_pb2.LogRecord] = collections.deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._on_its_way = False
        #: Those who wait until nothing is left.
        self._flushes: List[concurrent.futures.Future[None]] = []
        self._emitting = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        # What sending logs itself (grpc, asyncio) would be sent for ever.
        if getattr(self._emitting, "now", False):
            return
        self._emitting.now = True
        try:
            self._keep(_to_wire(record))
        except Exception:  # noqa: BLE001 - logging never fails its caller; handleError tells on stderr
            self.handleError(record)
        finally:
            self._emitting.now = False

    async def flush_async(self) -> None:
        """Waits, bounded, until the host has taken what was logged so far."""
        flush = self._begin_flush()
        if not flush.done():
            await asyncio.wait((asyncio.wrap_future(flush),), timeout=FLUSH_TIMEOUT_SECONDS)

    def flush(self) -> None:
        """As flush_async; blocks. For the exit of the process."""
        concurrent.futures.wait((self._begin_flush(),), timeout=FLUSH_TIMEOUT_SECONDS)

    def _keep(self, record: log_pb2.LogRecord) -> None:
        size = record.ByteSize()
        with self._state:
            if len(self._waiting) >= MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES:
                self._dropped += 1
                return
            self._waiting.append(record)
            self._waiting_bytes += size
            if self._on_its_way:
                return
            self._on_its_way = True
        self._send_batch()

    def _send_batch(self) -> None:
        while True:
            with self._state:
                batch = self._take_batch()
                if not batch:
                    self._on_its_way = False
                    flushes, self._flushes = self._flushes, []
                    break
            try:
                # The scope a record was written in may have ended; the incarnation's has not.
                with scope.entered(scope.incarnation()):
                    future = self._channel.submit(_WRITE, log_pb2.WriteLogRequest(records=batch))
            except MoorageError:
                # The link has ended, and with it this process; nobody is left to tell.
                continue
            future.add_done_callback(lambda _: self._send_batch())
            return
        for flush in flushes:
            flush.set_result(None)

    def _take_batch(self) -> List[log_pb2.LogRecord]:
        batch: List[log_pb2.LogRecord] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            record = self._waiting.popleft()
            size += record.ByteSize()
            batch.append(record)
        self._waiting_bytes -= size
        if batch and self._dropped:
            text = f"{self._dropped} log records were dropped here: they came faster than the host takes them"
            dropped = log_pb2.LogRecord(level=logging.WARNING, logger=__name__, message=text)
            dropped.time_micros = batch[-1].time_micros
            batch.append(dropped)
            self._dropped = 0
        return batch

    def _begin_flush(self) -> concurrent.futures.Future[None]:
        flush: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._state:
            if self._on_its_way:
                self._flushes.append(flush)
                return flush
        flush.set_result(None)
        return flush


class LogLevels:
    """The levels that the host has set, on Python's own loggers. From any thread."""

    def __init__(self) -> None:
        #: What loggers had of themselves, before the host gave them a level.
        self._own: Dict[str, int] = {}
        self._state = threading.Lock()

    def apply(self, level: int, loggers: Mapping[str, int]) -> None:
        """``level``: of all loggers without one of their own. One that is not named any more has its own again."""
        with self._state:
            logging.getLogger().setLevel(level)
            for name in set(self._own) - set(loggers):
                logging.getLogger(name).setLevel(self._own.pop(name))
            for name, wanted in loggers.items():
                logger = logging.getLogger(name)
                self._own.setdefault(name, logger.level)
                logger.setLevel(wanted)


class LogFace:
    """A logger under the installation's name; any other logger of the plugin arrives as well."""

    provides: Tuple[str, ...] = ("logging:Logger",)
    per_scope = False
    capability_verbs: Tuple[str, ...] = ()

    def make(self, ask: Ask) -> Provided:
        return Provided(logging.getLogger(ask.host.installation))


def _to_wire(record: logging.LogRecord) -> log_pb2.LogRecord:
    message = record.getMessage()
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = f"{message[:MAX_MESSAGE_CHARACTERS]}... ({len(message)} characters)"
    wire = log_pb2.LogRecord(
        time_micros=int(record.created * 1_000_000),
        level=max(record.levelno, 0),
        logger=record.name,
        message=_encodable(message),
        scope=scope.current().id,
    )
    extra = {key: value for key, value in record.__dict__.items() if key not in _ORDINARY}
    if extra:
        wire.fields.CopyFrom(_fields(extra))
    if record.exc_info and record.exc_info[1] is not None:
        wire.exception = _encodable(tracebacks.of_plugin(record.exc_info[1]))
    elif record.stack_info:
        wire.exception = _encodable(record.stack_info)
    return wire


def _fields(extra: Mapping[str, Any]) -> value_pb2.Record:
    """What the wire has no kind for goes as text."""
    record = value_pb2.Record()
    for key, value in extra.items():
        try:
            wire = values.to_wire(value, 1)
        except (values.ValueInvalid, UnicodeError):
            wire = values.to_wire(_encodable(str(value)))
        record.entries.add(key=key, value=wire)
    return record


def _encodable(text: str) -> str:
    """Without lone surrogates, which have no UTF-8 form."""
    return text.encode("utf-8", "backslashreplace").decode()
