"""Grants that count only while the audit can be written, and what is counted of every grant's use."""

from __future__ import annotations

import pytest
from memory_link import SCOPE, grants
from probe_contract import METHODS

from moorage_proto import config_pb2, kafka_pb2, log_pb2, sql_pb2
from moorage_proto.capability import parse
from moorage_proto.errors import CallError, Reason, Status

PEEK = METHODS["peek"]
KEY = config_pb2.GetSettingRequest(key="greeting")
OTHER = config_pb2.GetSettingRequest(key="farewell")
QUERY = sql_pb2.ExecuteRequest(statement="users")


async def test_its_calls_are_refused_while_the_audit_cannot_be_written(connect, probe, audit) -> None:
    allowed = grants("config.read:**", fail_closed=["config.read:greeting"])
    async with connect(allowed) as link:
        audit.down = "file, opentelemetry"
        with pytest.raises(CallError) as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        error = refused.value
        assert (error.status, error.reason, error.retryable) == (Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, True)
        assert error.message == (
            "churn may use config.read:greeting only while the host's audit can be written, and at this moment it "
            "cannot be (file, opentelemetry). Try again later; its operator finds the cause with: "
            "moorage audit --sinks"
        )
        assert [entry.capability for entry in audit.refused] == ["config.read:greeting"]
        assert probe.seen == []
        # What other grants allow goes on.
        await link.worker.call(PEEK, OTHER, scope=SCOPE)

        audit.down = ""
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert audit.in_full == ["config.read:greeting"]


async def test_its_calls_are_refused_rather_than_only_counted(connect, probe, audit) -> None:
    allowed = grants("config.read:**", fail_closed=["config.read:greeting"])
    async with connect(allowed) as link:
        audit.crowded = True
        with pytest.raises(CallError, match="only while the host's audit can be written") as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert refused.value.retryable
        await link.worker.call(PEEK, OTHER, scope=SCOPE)
        audit.crowded = False
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert audit.in_full == ["config.read:greeting"]


async def test_a_setting_makes_all_grants_so(connect, audit) -> None:
    async with connect(grants("config.read:**")) as link:
        audit.fail_closed = True
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        audit.down = "store"
        with pytest.raises(CallError, match="only while the host's audit can be written"):
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        # It takes no capability: a plugin may always write its log.
        await link.worker.call(METHODS["own"], log_pb2.WriteLogRequest(), scope=SCOPE)


async def test_a_guard_refuses_it_while_the_handler_works(connect, audit) -> None:
    allowed = grants("sql.read:users", fail_closed=["sql.read:users(mail)"])
    async with connect(allowed) as link:
        call = link.worker.open(METHODS["query"], QUERY, scope=SCOPE)
        assert [item async for item in call]
        audit.down = "store"
        call = link.worker.open(METHODS["query"], QUERY, scope=SCOPE)
        with pytest.raises(CallError, match=r"churn may use sql\.read:users only while") as refused:
            _ = [item async for item in call]
        assert refused.value.reason == Reason.BACKEND_UNAVAILABLE
        assert audit.refused[-1].message == refused.value.message


async def test_what_each_method_and_right_is_used_for_is_counted(connect, broker) -> None:
    async with connect(grants("config.read:gre*", "kafka.produce:plays")) as link:
        for _ in range(3):
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        with pytest.raises(CallError):
            await link.worker.call(PEEK, OTHER, scope=SCOPE)
        produced = kafka_pb2.ProduceRequest(topic="plays", value=b"x" * 500)
        await link.worker.call(METHODS["send"], produced, scope=SCOPE)
        use = broker.uses["churn"]
        peek, send = use.of(PEEK.path), use.of(METHODS["send"].path)
        assert (peek.calls, peek.denied, peek.bytes_in) == (3, 1, 3 * KEY.ByteSize())
        assert peek.bytes_out > 0
        assert send.bytes_in == produced.ByteSize()
        assert {str(right): each.count for right, each in use.rights.items()} == {
            "config.read:gre*": 3,
            "kafka.produce:plays": 1,
        }
        assert set(use.take_rights()) == {parse("config.read:gre*"), parse("kafka.produce:plays")}
        assert use.rights == {}
    # It outlives the link: the next worker's calls are added.
    assert broker.uses["churn"] is use


async def test_items_of_streams_count_with_their_bytes(connect, broker) -> None:
    async with connect() as link:
        call = link.worker.open(METHODS["send_many"], None, scope=SCOPE)
        for _ in range(2):
            await call.send_item(kafka_pb2.ProduceRequest(topic="plays", value=b"x" * 100))
        call.half_close()
        await call.result()
        counted = broker.uses["churn"].of(METHODS["send_many"].path)
        assert (counted.calls, counted.bytes_in > 200) == (1, True)


async def test_methods_that_a_plugin_invents_are_counted_together(connect, broker) -> None:
    async with connect() as link:
        for number in range(5):
            answered = []
            link.worker.start(f"/no/{number}", b"", lambda _, error, done=answered: done.append(error), scope=SCOPE)
        with pytest.raises(CallError):
            await link.worker.call(PEEK, KEY, scope="nobody")
        use = broker.uses["churn"]
        assert set(use.methods) == {"", PEEK.path}
        assert (use.methods[""].denied, use.methods[PEEK.path].denied) == (5, 1)
