from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_link import SCOPE, RecordingAudit, connected, grants

from moorage.broker.broker import Broker
from moorage.broker.services.base import Caller
from moorage.broker.services.log import MAX_AGE, MAX_ALL_FIELDS_BYTES, MAX_LEAD, MAX_RECORDS, LogService, plausible_time
from moorage.models.log import LogLine
from moorage_proto import log_pb2, value_pb2, values
from moorage_proto.errors import CallError, Reason
from moorage_proto.methods import service_methods

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW_MICROS = (NOW - EPOCH) // timedelta(microseconds=1)
WRITE = service_methods(log_pb2, "LogService")["write"]


class Lines(list[LogLine]):
    """A sink with room for so many more."""

    write = list.append

    def __init__(self, room: int = 1_000) -> None:
        super().__init__()
        self._room = room
        self.dropped = 0

    def room(self, _installation: str) -> int:
        return self._room - len(self)

    def drop(self, _installation: str, _incarnation: str, count: int) -> None:
        self.dropped += count


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def service(lines: Lines) -> LogService:
    return LogService(lines, now=lambda: NOW)


def record(**fields) -> log_pb2.WriteLogRequest:
    return log_pb2.WriteLogRequest(records=[log_pb2.LogRecord(**{"time_micros": NOW_MICROS, "level": 20} | fields)])


def test_records_for_which_there_is_no_room_are_counted_and_not_looked_at(caller: Caller) -> None:
    lines = Lines(room=2)
    request = log_pb2.WriteLogRequest()
    for number in range(5):
        (one,) = record(message=str(number)).records
        request.records.append(one)
    request.records[4].fields.entries.add(key="twice")
    request.records[4].fields.entries.add(key="twice")

    LogService(lines, now=lambda: NOW).write(caller, request)

    assert [line.message for line in lines] == ["0", "1"]
    assert lines.dropped == 3


def test_a_record_becomes_a_line_of_its_installation(service: LogService, lines: Lines, caller: Caller) -> None:
    fields = values.record_to_wire({"users": 3, "at": NOW})
    request = record(logger="churn.jobs", message="counted", fields=fields, exception="Traceback", scope=SCOPE)
    service.write(caller, request)
    assert lines == [
        LogLine(
            installation="churn",
            incarnation="i-churn",
            time=NOW,
            level=20,
            logger="churn.jobs",
            message="counted",
            execution=SCOPE,
            fields={"users": 3, "at": NOW},
            exception="Traceback",
        )
    ]


@pytest.mark.parametrize(("scope", "execution"), [("", SCOPE), ("s-0", "e-0"), ("i-churn", ""), ("e-of-another", "")])
def test_an_execution_is_named_by_a_scope_of_this_link_only(service, lines, caller, scope, execution) -> None:
    service.write(caller, record(scope=scope))
    assert lines[0].execution == execution


@pytest.mark.parametrize("logger", ["moorage", "stdout", "stderr"])
def test_the_hosts_own_logger_names_cannot_be_taken(service, lines, caller, logger) -> None:
    service.write(caller, record(logger=logger))
    service.write(caller, record(logger="churn"))
    assert [line.logger for line in lines] == [f"plugin.{logger}", "churn"]


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_becomes_a_plausible_one(micros: int) -> None:
    time = plausible_time(micros, NOW)
    assert NOW - MAX_AGE <= time <= NOW + MAX_LEAD
    if -(MAX_AGE // timedelta(microseconds=1)) <= micros - NOW_MICROS <= MAX_LEAD // timedelta(microseconds=1):
        assert time == EPOCH + timedelta(microseconds=micros)


def test_a_worker_that_is_a_little_late_keeps_its_time(service, lines, caller) -> None:
    service.write(caller, record(time_micros=NOW_MICROS - 60_000_000))
    assert lines[0].time == NOW - timedelta(minutes=1)


def test_too_many_records_are_refused_and_none_is_written(service, lines, caller) -> None:
    one = log_pb2.LogRecord(message="x")
    with pytest.raises(CallError, match="at most 1000 log records") as refused:
        service.write(caller, log_pb2.WriteLogRequest(records=[one] * (MAX_RECORDS + 1)))
    assert refused.value.reason == Reason.REQUEST_INVALID
    assert lines == []
    service.write(caller, log_pb2.WriteLogRequest(records=[one] * MAX_RECORDS))
    assert len(lines) == MAX_RECORDS


def test_too_many_bytes_are_refused(service, lines, caller) -> None:
    with pytest.raises(CallError, match="bytes of log"):
        service.write(caller, record(message="x" * 3_000_000))
    service.write(caller, record(message="x" * 1_000_000))
    assert len(lines) == 1


def test_large_fields_are_dropped_and_the_message_stays(service, lines, caller) -> None:
    service.write(caller, record(message="kept", fields=values.record_to_wire({"blob": "x" * 20_000})))
    assert lines[0].message == "kept"
    assert "were dropped" in lines[0].fields["moorage"]


def test_malformed_fields_are_refused(service, lines, caller) -> None:
    entry = value_pb2.Entry(key="a", value=values.to_wire(1))
    with pytest.raises(CallError, match="comes twice"):
        service.write(caller, record(fields=value_pb2.Record(entries=[entry, entry])))
    assert lines == []


def test_a_level_beyond_all_is_bounded(service, lines, caller) -> None:
    service.write(caller, record(level=2**32 - 1))
    assert lines[0].level == 100


@pytest.fixture
async def broker(service: LogService) -> AsyncIterator[Broker]:
    made = Broker([service], RecordingAudit())
    await made.open()
    yield made
    await made.close()


async def test_across_a_link_it_takes_no_capability(broker: Broker, lines: Lines) -> None:
    async with connected(broker, grants()) as link:
        await link.worker.call(WRITE, record(message="hello"), scope=SCOPE)
    assert [(line.installation, line.message) for line in lines] == [("churn", "hello")]


@pytest.mark.parametrize("name", ["moorage", "stdout", "stderr", "moor\x1b[0mage", " moorage "])
def test_no_plugin_writes_under_the_hosts_own_name(
    service: LogService, lines: Lines, caller: Caller, name: str
) -> None:
    service.write(caller, record(logger=name, message="all is well"))
    (line,) = lines
    assert line.logger in ("plugin.moorage", "plugin.stdout", "plugin.stderr")


def test_of_very_many_fields_some_are_read(service, lines, caller) -> None:
    """Of few bytes there may be very many values."""
    fields = values.record_to_wire({"x": [None] * 4_000})
    (one,) = record(message="kept", fields=fields).records
    service.write(caller, log_pb2.WriteLogRequest(records=[one] * 100))
    assert [line.message for line in lines] == ["kept"] * 100
    read = [line for line in lines if "x" in line.fields]
    assert len(read) == MAX_ALL_FIELDS_BYTES // fields.ByteSize()
    assert "for the records of one call" in lines[-1].fields["moorage"]
