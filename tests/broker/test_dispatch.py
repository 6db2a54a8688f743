"""How handlers are run, and how what they do becomes an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
from memory_link import SCOPE, RecordingAudit, connected, grants
from probe_contract import METHODS
from probe_service import ProbeService

from moorage.broker.broker import Broker
from moorage_proto import config_pb2, kafka_pb2, sql_pb2
from moorage_proto.errors import CallError, Reason, Status

PEEK, SEND, MANY, ECHO = METHODS["peek"], METHODS["send"], METHODS["send_many"], METHODS["echo"]
KEY = config_pb2.GetSettingRequest(key="greeting")
TOPIC = kafka_pb2.ProduceRequest(topic="plays")
#: What an operator's backend puts into its exceptions.
SECRETS = "postgresql://admin:hunter2@db.internal/shop at /srv/moorage/state"


async def test_a_plain_function_is_answered_without_a_task(connect, monkeypatch) -> None:
    async with connect() as link:
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        names: list[str] = []
        loop = asyncio.get_running_loop()
        create = loop.create_task

        def watched(coroutine, **options):
            names.append(options.get("name") or "")
            return create(coroutine, **options)

        monkeypatch.setattr(loop, "create_task", watched)
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert names == []
        await link.worker.call(SEND, TOPIC, scope=SCOPE)
        assert names == ["churn /moorage.test.probe.Probe/Send"]


async def test_a_call_error_of_a_handler_crosses_whole(connect, probe, audit) -> None:
    probe.error = CallError(Status.ABORTED, Reason.SERIALIZATION_FAILURE, "run it again", retryable=True)
    async with connect() as link:
        for method, request in ((PEEK, KEY), (SEND, TOPIC)):
            with pytest.raises(CallError, match="run it again") as failed:
                await link.worker.call(method, request, scope=SCOPE)
            assert (failed.value.reason, failed.value.retryable) == (Reason.SERIALIZATION_FAILURE, True)
        assert [method for method, _ in audit.passed] == ["Peek", "Send"]
        assert link.session.in_flight == 0


async def test_anything_else_is_internal_and_leaks_nothing(connect, probe, caplog) -> None:
    probe.error = RuntimeError(SECRETS)
    async with connect() as link:
        for method, request in ((PEEK, KEY), (SEND, TOPIC)):
            caplog.clear()
            with caplog.at_level(logging.ERROR), pytest.raises(CallError) as failed:
                await link.worker.call(method, request, scope=SCOPE)
            error = failed.value
            assert (error.status, error.reason) == (Status.INTERNAL, Reason.INTERNAL)
            assert not any(word in error.message for word in ("hunter2", "db.internal", "/srv", "RuntimeError"))
            (record,) = caplog.records
            assert SECRETS in str(record.exc_info[1])
            assert record.args[1] in error.message
        probe.error = None
        await link.worker.call(PEEK, KEY, scope=SCOPE)


async def test_a_deadline_that_passes_stops_the_handler(connect, probe) -> None:
    probe.work = probe.hang
    async with connect() as link:
        with pytest.raises(CallError) as late:
            await link.worker.call(SEND, TOPIC, scope=SCOPE, timeout=0.02)
        assert late.value.reason == Reason.DEADLINE_EXCEEDED
        async with asyncio.timeout(2):
            await probe.unwound.wait()
        probe.work = _at_once
        await link.worker.call(SEND, TOPIC, scope=SCOPE, timeout=5)
        assert link.session.in_flight == 0


async def test_a_cancelled_call_stops_its_handler_and_is_ended_when_it_has_stopped(connect, probe) -> None:
    probe.work = probe.hang
    async with connect() as link:
        call = link.worker.open(SEND, TOPIC, scope=SCOPE)
        await probe.entered.wait()
        call.cancel()
        call.cancel()
        with pytest.raises(CallError) as cancelled:
            await call.result()
        assert cancelled.value.reason == Reason.CANCELLED
        async with asyncio.timeout(2):
            await call.ended()
        assert probe.unwound.is_set()
        assert link.session.in_flight == 0


async def test_a_call_that_is_cancelled_before_its_handler_began_is_counted_out(connect, probe) -> None:
    async with connect() as link:
        call = link.worker.open(SEND, TOPIC, scope=SCOPE)
        call.cancel()
        async with asyncio.timeout(2):
            await call.ended()
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert link.session.in_flight == 0


async def test_each_item_of_a_client_stream_meets_the_rule(connect, probe, audit) -> None:
    async with connect(grants("kafka.produce:plays", "kafka.produce:users")) as link:
        call = link.worker.open(MANY, scope=SCOPE)
        for topic in ("plays", "users", "plays"):
            await call.send_item(kafka_pb2.ProduceRequest(topic=topic))
        call.half_close()
        assert (await call.result()).partition == 3
        assert set(audit.passed) == {("SendMany", "kafka.produce:plays"), ("SendMany", "kafka.produce:users")}

        call = link.worker.open(MANY, scope=SCOPE)
        for topic in ("plays", "secrets", "plays"):
            await call.send_item(kafka_pb2.ProduceRequest(topic=topic))
        call.half_close()
        with pytest.raises(CallError) as refused:
            await call.result()
        assert refused.value.capability == "kafka.produce:secrets"
        assert "secrets" not in probe.seen
        assert [entry.capability for entry in audit.refused] == ["kafka.produce:secrets"]
        assert link.session.in_flight == 0


async def test_a_handler_that_swallows_a_refused_item_still_cannot_reply(audit) -> None:
    class Swallowing(ProbeService):
        async def send_many(self, caller, requests) -> kafka_pb2.ProduceReply:
            with contextlib.suppress(CallError):
                async for _ in requests:
                    pass
            return kafka_pb2.ProduceReply(partition=99)

    async with opened(Swallowing(), audit) as broker, connected(broker, grants("kafka.produce:plays")) as link:
        call = link.worker.open(MANY, scope=SCOPE)
        await call.send_item(TOPIC)
        call.half_close()
        assert (await call.result()).partition == 99

        call = link.worker.open(MANY, scope=SCOPE)
        await call.send_item(kafka_pb2.ProduceRequest(topic="secrets"))
        call.half_close()
        with pytest.raises(CallError) as refused:
            await call.result()
        assert refused.value.reason == Reason.CAPABILITY_MISSING


async def test_an_item_that_cannot_be_read_ends_its_call(connect, probe) -> None:
    async with connect() as link:
        call = link.worker.open(MANY, scope=SCOPE)
        call._bound.send_item(b"\xff\xff\xff")
        with pytest.raises(CallError) as refused:
            await call.result()
        assert refused.value.reason == Reason.REQUEST_INVALID
        await link.worker.call(PEEK, KEY, scope=SCOPE)


async def test_streams_both_ways(connect) -> None:
    async with connect() as link:
        call = link.worker.open(ECHO, scope=SCOPE)
        replies = call.__aiter__()
        for number in (1, 2, 3):
            await call.send_item(TOPIC)
            assert (await replies.__anext__()).partition == number
        call.half_close()
        with pytest.raises(StopAsyncIteration):
            await replies.__anext__()


async def test_a_cancelled_stream_of_replies_stops_its_handler(connect, probe) -> None:
    probe.work = probe.hang
    async with connect() as link:
        call = link.worker.open(METHODS["query"], sql_pb2.ExecuteRequest(statement="users"), scope=SCOPE)
        await call.__aiter__().__anext__()
        await probe.entered.wait()
        call.cancel()
        async with asyncio.timeout(2):
            await call.ended()
        assert link.session.in_flight == 0


async def test_a_reply_whose_guard_decided_nothing_is_never_sent(connect, probe, caplog) -> None:
    query = sql_pb2.ExecuteRequest(statement="users")
    async with connect() as link:
        probe.decides = False
        with caplog.at_level(logging.ERROR), pytest.raises(CallError) as withheld:
            await link.worker.call(METHODS["connect"], sql_pb2.ConnectRequest(), scope=SCOPE)
        assert withheld.value.reason == Reason.INTERNAL
        with pytest.raises(CallError) as withheld:
            await link.worker.open(METHODS["query"], query, scope=SCOPE).__aiter__().__anext__()
        assert withheld.value.reason == Reason.INTERNAL

        probe.decides = True
        await link.worker.call(METHODS["connect"], sql_pb2.ConnectRequest(), scope=SCOPE)
        assert len([rows async for rows in link.worker.open(METHODS["query"], query, scope=SCOPE)]) == 3


async def test_what_a_guard_decided_is_audited(connect, audit) -> None:
    query = METHODS["query"]
    async with connect(grants("sql.read:users")) as link:
        [rows async for rows in link.worker.open(query, sql_pb2.ExecuteRequest(statement="users"), scope=SCOPE)]
        with pytest.raises(CallError) as refused:
            async for _ in link.worker.open(query, sql_pb2.ExecuteRequest(statement="salaries"), scope=SCOPE):
                pass
        assert refused.value.remedy == "moorage grant churn 'sql.read:salaries'"
        assert audit.passed == [("Query", "sql.read:users")]
        assert [entry.capability for entry in audit.refused] == ["sql.read:salaries"]
        assert link.session.denied == 1


async def test_connecting_takes_some_right_to_the_backend(connect) -> None:
    connect_method = METHODS["connect"]
    async with connect(grants("sql.read:analytics/plays")) as link:
        await link.worker.call(connect_method, sql_pb2.ConnectRequest(backend="analytics"), scope=SCOPE)
        with pytest.raises(CallError, match=r"takes one of sql\.read, sql\.write") as refused:
            await link.worker.call(connect_method, sql_pb2.ConnectRequest(), scope=SCOPE)
        assert refused.value.reason == Reason.CAPABILITY_MISSING
        assert refused.value.remedy == "moorage grant churn 'sql.read:*'"


async def test_a_reply_that_is_too_large_is_an_error_and_the_link_lives(audit) -> None:
    class Verbose(ProbeService):
        async def send(self, caller, request) -> kafka_pb2.ProduceRequest:
            return kafka_pb2.ProduceRequest(value=bytes(17 * 1024 * 1024))

    async with (
        opened(Verbose(), audit) as broker,
        connected(broker, grants("kafka.produce:plays", "config.read:greeting")) as link,
    ):
        with pytest.raises(CallError) as refused:
            await link.worker.call(SEND, TOPIC, scope=SCOPE)
        assert refused.value.reason == Reason.MESSAGE_TOO_LARGE
        await link.worker.call(PEEK, KEY, scope=SCOPE)


async def test_an_oversized_request_reaches_no_handler(connect, probe) -> None:
    async with connect() as link:
        request = kafka_pb2.ProduceRequest(topic="plays", value=bytes(17 * 1024 * 1024))
        with pytest.raises(CallError) as refused:
            await link.worker.call(SEND, request, scope=SCOPE)
        assert refused.value.reason == Reason.MESSAGE_TOO_LARGE
        assert probe.seen == []


async def _at_once() -> None:
    return None


@contextlib.asynccontextmanager
async def opened(service: ProbeService, audit: RecordingAudit) -> AsyncIterator[Broker]:
    broker = Broker([service], audit)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()
