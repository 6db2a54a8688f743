"""Each step of the gate refuses, and with its rule satisfied lets the same call through."""

from __future__ import annotations

import pytest
from memory_link import SCOPE, grants
from probe_contract import METHODS

from moorage.broker.scope import ScopeKind
from moorage.models.audit import AuditKind
from moorage.models.manifest import Limits
from moorage_proto import config_pb2, kafka_pb2, log_pb2, sql_pb2
from moorage_proto.errors import CallError, Reason, Status

PEEK = METHODS["peek"]
KEY = config_pb2.GetSettingRequest(key="greeting")


async def test_a_call_that_meets_every_rule_passes_and_is_audited(connect, probe, audit) -> None:
    async with connect(grants("config.read:greeting")) as link:
        reply = await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert reply.found
        assert audit.passed == [("Peek", "config.read:greeting")]
        assert (link.session.calls, link.session.denied, link.session.in_flight) == (1, 0, 0)


async def test_step_1_the_link_has_ended(connect, probe) -> None:
    async with connect() as link:
        await link.session.end()
        with pytest.raises(CallError) as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert refused.value.reason == Reason.LINK_CLOSED
        assert probe.seen == []


async def test_step_2_the_scope_has_ended(connect, probe, audit) -> None:
    async with connect() as link:
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        await link.session.close_scope(SCOPE, success=True)
        with pytest.raises(CallError, match="wait for them before it returns") as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert refused.value.reason == Reason.SCOPE_CLOSED
        assert len(probe.seen) == 1
        assert [(entry.kind, entry.execution) for entry in audit.refused] == [(AuditKind.DENIED, SCOPE)]


@pytest.mark.parametrize("forged", ["", "e-2", "E-1", "e-1 "])
async def test_step_2_a_scope_that_is_not_this_links(connect, probe, forged) -> None:
    async with connect() as link:
        with pytest.raises(CallError) as refused:
            await link.worker.call(PEEK, KEY, scope=forged)
        assert refused.value.reason == Reason.SCOPE_CLOSED
        assert probe.seen == []


async def test_step_2_the_live_scope_of_another_link(connect, probe) -> None:
    async with (
        connect(installation="churn") as churn,
        connect(installation="other", scope="e-other") as other,
    ):
        with pytest.raises(CallError) as refused:
            await churn.worker.call(PEEK, KEY, scope="e-other")
        assert refused.value.reason == Reason.SCOPE_CLOSED
        await other.worker.call(PEEK, KEY, scope="e-other")


async def test_step_3_an_unknown_method(connect, probe) -> None:
    async with connect() as link:
        with pytest.raises(CallError, match=r"no method '/moorage\.v1\.Nothing/Here'") as refused:
            await _call_path(link, "/moorage.v1.Nothing/Here")
        assert (refused.value.status, refused.value.reason) == (Status.UNIMPLEMENTED, Reason.METHOD_UNKNOWN)


async def test_step_4_a_missing_capability_is_named_with_the_command_that_grants_it(connect, probe, audit) -> None:
    async with connect(grants("config.read:farewell")) as link:
        with pytest.raises(CallError) as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        error = refused.value
        assert (error.status, error.reason) == (Status.PERMISSION_DENIED, Reason.CAPABILITY_MISSING)
        assert error.capability == "config.read:greeting"
        assert error.remedy == "moorage grant churn 'config.read:greeting'"
        assert error.message == (
            "churn lacks the capability config.read:greeting. Its manifest has to request it; "
            "an operator then grants it with: moorage grant churn 'config.read:greeting'"
        )
        assert probe.seen == []
        (entry,) = audit.refused
        assert (entry.installation, entry.capability, entry.execution) == ("churn", "config.read:greeting", SCOPE)
        assert audit.passed == []
        assert link.session.denied == 1


async def test_step_4_an_explicit_deny_beats_an_allow(connect) -> None:
    async with connect(grants("config.read:**", deny=["config.read:greeting"])) as link:
        with pytest.raises(CallError, match=r"an operator has denied config\.read:greeting") as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert refused.value.remedy == ""
        await link.worker.call(PEEK, config_pb2.GetSettingRequest(key="farewell"), scope=SCOPE)


async def test_step_4_every_value_of_a_repeated_field_is_checked(connect, probe) -> None:
    async with connect(grants("log.name:app")) as link:
        both = log_pb2.WriteLogRequest(records=[log_pb2.LogRecord(logger=name) for name in ("app", "other")])
        with pytest.raises(CallError) as refused:
            await link.worker.call(METHODS["name"], both, scope=SCOPE)
        assert refused.value.capability == "log.name:other"
        await link.worker.call(METHODS["name"], log_pb2.WriteLogRequest(records=both.records[:1]), scope=SCOPE)
        assert probe.seen == ["app"]


async def test_step_4_a_request_that_names_no_resource_is_refused(connect, probe) -> None:
    async with connect() as link:
        with pytest.raises(CallError) as refused:
            await link.worker.call(METHODS["name"], log_pb2.WriteLogRequest(), scope=SCOPE)
        assert refused.value.reason == Reason.REQUEST_INVALID
        assert probe.seen == []


async def test_step_4_a_request_that_cannot_be_read(connect, probe) -> None:
    async with connect() as link:
        with pytest.raises(CallError) as refused:
            await _call_path(link, PEEK.path, b"\xff\xff\xff")
        assert refused.value.reason == Reason.REQUEST_INVALID
        assert not link.worker.closed.done()
        await link.worker.call(PEEK, KEY, scope=SCOPE)


async def test_step_4_the_backend_is_part_of_the_resource(connect) -> None:
    async with connect(grants("kafka.produce:analytics/plays")) as link:
        plays = kafka_pb2.ProduceRequest(topic="plays")
        with pytest.raises(CallError) as refused:
            await link.worker.call(METHODS["send"], plays, scope=SCOPE)
        assert refused.value.capability == "kafka.produce:plays"
        plays.backend = "analytics"
        await link.worker.call(METHODS["send"], plays, scope=SCOPE)


async def test_step_4_a_handle_of_nothing_and_of_another_scope(connect, probe) -> None:
    async with connect() as link:
        link.session.open_scope(ScopeKind.EXECUTION, "e-2", execution="e-2")
        opened = await link.worker.call(METHODS["connect"], sql_pb2.ConnectRequest(), scope=SCOPE)
        for scope, handle in (("e-2", opened.connection), (SCOPE, opened.connection + 1), (SCOPE, 0)):
            with pytest.raises(CallError) as refused:
                await _read(link, scope, handle)
            assert refused.value.reason == Reason.HANDLE_UNKNOWN
        assert await _read(link, SCOPE, opened.connection) == 2


async def test_step_5_calls_per_second(connect, probe) -> None:
    async with connect(limits=Limits(calls_per_second=3)) as link:
        for _ in range(3):
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        with pytest.raises(CallError, match="3 calls per second") as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert refused.value.reason == Reason.QUOTA_EXCEEDED
        assert refused.value.retryable
        assert len(probe.seen) == 3


async def test_step_5_bytes_per_second(connect) -> None:
    async with connect(limits=Limits(bytes_per_second=1000)) as link:
        await link.worker.call(METHODS["send"], kafka_pb2.ProduceRequest(topic="t", value=bytes(900)), scope=SCOPE)
        with pytest.raises(CallError, match="1,000 bytes per second"):
            await link.worker.call(METHODS["send"], kafka_pb2.ProduceRequest(topic="t", value=bytes(900)), scope=SCOPE)


async def test_step_5_counts_all_workers_of_an_installation_together(connect, probe) -> None:
    probe.work = probe.hang
    limits = Limits(calls_in_flight=1)
    async with (
        connect(limits=limits, incarnation="i-1") as one,
        connect(limits=limits, incarnation="i-2") as two,
        connect(limits=limits, installation="other") as other,
    ):
        hanging = one.worker.open(METHODS["send"], kafka_pb2.ProduceRequest(topic="t"), scope=SCOPE)
        await probe.entered.wait()
        with pytest.raises(CallError, match="1 calls in flight"):
            await two.worker.call(PEEK, KEY, scope=SCOPE)
        await other.worker.call(PEEK, KEY, scope=SCOPE)
        hanging.cancel()
        await hanging.ended()
        await two.worker.call(PEEK, KEY, scope=SCOPE)


async def test_a_lost_link_gives_back_what_it_had_in_flight(connect, probe) -> None:
    probe.work = probe.hang
    limits = Limits(calls_in_flight=1)
    async with connect(limits=limits, incarnation="i-2") as two:
        async with connect(limits=limits, incarnation="i-1") as one:
            one.worker.open(METHODS["send"], kafka_pb2.ProduceRequest(topic="t"), scope=SCOPE)
            await probe.entered.wait()
        assert two.session.in_flight == 0
        await two.worker.call(PEEK, KEY, scope=SCOPE)


async def test_step_5_calls_in_flight(connect, probe) -> None:
    probe.work = probe.hang
    async with connect(limits=Limits(calls_in_flight=1)) as link:
        first = link.worker.open(METHODS["send"], kafka_pb2.ProduceRequest(topic="t"), scope=SCOPE)
        await probe.entered.wait()
        with pytest.raises(CallError, match="1 calls in flight") as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert refused.value.reason == Reason.QUOTA_EXCEEDED
        first.cancel()
        await first.ended()
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert link.session.in_flight == 0


async def test_a_handler_is_told_who_calls(connect, probe) -> None:
    async with connect() as link:
        await link.worker.call(PEEK, KEY, scope=SCOPE, traceparent="00-trace", timeout=5)
        (caller,) = probe.callers
        assert (caller.installation, caller.incarnation, caller.scope.id) == ("churn", "i-churn", SCOPE)
        assert caller.label == "moorage/churn/e-1"
        assert caller.traceparent == "00-trace"
        assert caller.deadline is not None
        assert caller.guard is None


async def _call_path(link, path: str, request: bytes = b"") -> None:
    """A call in bytes, as a worker that keeps to no contract would make it."""
    answered = link.worker._loop.create_future()

    def done(reply: bytes | None, error: CallError | None) -> None:
        answered.set_result(error)

    link.worker.start(path, request, done, scope=SCOPE)
    error = await answered
    if error is not None:
        raise error


async def _read(link, scope: str, handle: int) -> int:
    stream = link.worker.open(METHODS["read"], sql_pb2.FetchRequest(cursor=handle), scope=scope)
    return len([rows async for rows in stream])
