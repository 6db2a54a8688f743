"""Scopes and sessions end: what they held is finished and released, however they end."""

from __future__ import annotations

import asyncio
import logging

import pytest
from memory_link import SCOPE, grants
from probe_contract import METHODS
from probe_service import HeldThing

from moorage.broker import session as session_module
from moorage.broker.scope import ScopeKind
from moorage_proto import config_pb2, kafka_pb2, sql_pb2
from moorage_proto.errors import CallError, Reason

PEEK, SEND, READ, QUERY = METHODS["peek"], METHODS["send"], METHODS["read"], METHODS["query"]
KEY = config_pb2.GetSettingRequest(key="greeting")
TOPIC = kafka_pb2.ProduceRequest(topic="plays")


@pytest.fixture
def short_patience(monkeypatch) -> None:
    monkeypatch.setattr(session_module, "LAST_CALLS_SECONDS", 0.05)
    monkeypatch.setattr(session_module, "UNWIND_SECONDS", 0.05)


def hold(link, *, scope: str = SCOPE, **options) -> tuple[HeldThing, int]:
    thing = HeldThing(**options)
    return thing, link.session._link.scopes[scope].hold(thing)


async def test_success_commits_then_releases_newest_first(connect) -> None:
    async with connect() as link:
        events: list[str] = []
        for name in ("connection", "cursor"):
            hold(link, name=name, events=events)
        await link.session.close_scope(SCOPE, success=True)
        assert events == ["cursor commit", "connection commit", "cursor release", "connection release"]


async def test_failure_rolls_back(connect) -> None:
    async with connect() as link:
        thing, _ = hold(link)
        await link.session.close_scope(SCOPE, success=False)
        assert thing.events == ["thing rollback", "thing release"]
        await link.session.close_scope(SCOPE, success=False)


async def test_a_commit_that_fails_is_told_and_everything_is_released(connect) -> None:
    async with connect() as link:
        older, _ = hold(link)
        newer, _ = hold(link, commit_fails=True)
        with pytest.raises(CallError, match="another writer") as failed:
            await link.session.close_scope(SCOPE, success=True)
        assert failed.value.reason == Reason.SERIALIZATION_FAILURE
        assert newer.events == ["thing commit", "thing release"]
        assert older.events == ["thing rollback", "thing release"]


async def test_a_commit_that_fails_in_an_unknown_way_leaks_nothing(connect, caplog) -> None:
    class Broken(HeldThing):
        async def finish(self, *, success: bool) -> None:
            raise OSError("/srv/secret.db is gone")

    async with connect() as link:
        link.session._link.scopes[SCOPE].hold(Broken())
        with caplog.at_level(logging.ERROR), pytest.raises(CallError) as failed:
            await link.session.close_scope(SCOPE, success=True)
        assert failed.value.reason == Reason.BACKEND_FAILED
        assert "/srv" not in failed.value.message
        assert "/srv/secret.db" in caplog.text


async def test_closing_waits_for_calls_in_flight(connect, probe) -> None:
    finish = asyncio.Event()

    async def work() -> None:
        probe.entered.set()
        await finish.wait()

    probe.work = work
    async with connect() as link:
        thing, _ = hold(link)
        call = link.worker.open(SEND, TOPIC, scope=SCOPE)
        await probe.entered.wait()
        closing = asyncio.create_task(link.session.close_scope(SCOPE, success=True))
        await asyncio.sleep(0)
        with pytest.raises(CallError) as refused:
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert refused.value.reason == Reason.SCOPE_CLOSED
        assert thing.events == []
        finish.set()
        await closing
        assert (await call.result()).partition == 7
        assert thing.events == ["thing commit", "thing release"]


async def test_a_call_that_does_not_end_in_time_makes_the_scope_fail(connect, probe, short_patience) -> None:
    probe.work = probe.hang
    async with connect() as link:
        thing, _ = hold(link)
        call = link.worker.open(SEND, TOPIC, scope=SCOPE)
        await probe.entered.wait()
        with pytest.raises(CallError, match="Probe/Send had not been answered when its task returned"):
            await link.session.close_scope(SCOPE, success=True)
        with pytest.raises(CallError) as refused:
            await call.result()
        assert refused.value.reason == Reason.SCOPE_CLOSED
        assert probe.unwound.is_set()
        assert thing.events == ["thing rollback", "thing release"]


async def test_an_abandoned_stream_of_replies_does_not_hold_up_success(connect, probe) -> None:
    probe.work = probe.hang
    async with connect() as link:
        thing, handle = hold(link)
        stream = link.worker.open(READ, sql_pb2.FetchRequest(cursor=handle), scope=SCOPE)
        await stream.__aiter__().__anext__()
        async with asyncio.timeout(2):
            await link.session.close_scope(SCOPE, success=True)
        assert thing.events == ["thing commit", "thing release"]


async def test_a_handler_cleans_up_undisturbed_whatever_else_ends_its_call(connect, probe) -> None:
    """The caller cancels, its link is lost, the session ends: three reasons, and one cancellation."""
    closing, go, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await probe.hang()
        finally:
            closing.set()
            await go.wait()
            closed.set()

    probe.work = work
    async with connect() as link:
        call = link.worker.open(SEND, TOPIC, scope=SCOPE)
        await probe.entered.wait()
        call.cancel()
        await closing.wait()
        await link.worker.close("the worker is gone")
        ending = asyncio.create_task(link.session.end())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        go.set()
        await ending
        assert closed.is_set()


async def test_failure_cancels_calls_in_flight_at_once(connect, probe) -> None:
    probe.work = probe.hang
    async with connect() as link:
        link.worker.open(SEND, TOPIC, scope=SCOPE)
        await probe.entered.wait()
        async with asyncio.timeout(2):
            await link.session.close_scope(SCOPE, success=False)
        assert probe.unwound.is_set()


async def test_other_scopes_go_on(connect, probe) -> None:
    async with connect() as link:
        link.session.open_scope(ScopeKind.EXECUTION, "e-2", execution="e-2")
        thing, _ = hold(link, scope="e-2")
        await link.session.close_scope(SCOPE, success=True)
        await link.worker.call(PEEK, KEY, scope="e-2")
        assert thing.events == []


async def test_closing_goes_on_when_its_caller_is_cancelled(connect) -> None:
    release = asyncio.Event()

    class Slow(HeldThing):
        async def finish(self, *, success: bool) -> None:
            await release.wait()
            await super().finish(success=success)

    async with connect() as link:
        thing = Slow()
        link.session._link.scopes[SCOPE].hold(thing)
        closing = asyncio.create_task(link.session.close_scope(SCOPE, success=True))
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        release.set()
        await link.session.end()
        assert thing.events == ["thing commit", "thing release"]


async def test_what_a_late_handler_opens_is_released(connect, probe, short_patience, caplog) -> None:
    """A handler that ignores its cancellation outlives the scope, and then holds something in it."""
    go_on = asyncio.Event()
    late = HeldThing()

    async def stubborn() -> None:
        probe.entered.set()
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        probe.callers[0].scope.hold(late)

    probe.work = stubborn
    async with connect() as link:
        link.worker.open(SEND, TOPIC, scope=SCOPE)
        await probe.entered.wait()
        with caplog.at_level(logging.ERROR):
            await link.session.close_scope(SCOPE, success=False)
        assert "ignores its cancellation" in caplog.text
        go_on.set()
        async with asyncio.timeout(2):
            while len(late.events) < 2:
                await asyncio.sleep(0)
        assert late.events == ["thing rollback", "thing release"]


async def test_the_end_of_the_link_rolls_everything_back(connect, probe, broker) -> None:
    probe.work = probe.hang
    async with connect() as link:
        link.session.open_scope(ScopeKind.INCARNATION, "i-churn")
        things = [hold(link)[0], hold(link, scope="i-churn")[0]]
        link.worker.open(SEND, TOPIC, scope=SCOPE)
        await probe.entered.wait()
        await link.session.end()
        await link.session.end()
        assert probe.unwound.is_set()
        assert [thing.events for thing in things] == [["thing rollback", "thing release"]] * 2
        assert not broker.sessions
        with pytest.raises(CallError, match="was rolled back"):
            await link.session.close_scope(SCOPE, success=True)
        await link.session.close_scope(SCOPE, success=False)
        with pytest.raises(CallError):
            link.session.open_scope(ScopeKind.EXECUTION, "e-9")


async def test_closing_the_broker_ends_its_sessions(connect, broker, probe) -> None:
    async with connect() as link:
        thing, _ = hold(link)
        await broker.close()
        await broker.close()
        assert thing.events == ["thing rollback", "thing release"]
        assert probe.events == ["open", "close"]


async def test_a_scope_id_is_taken_once(connect) -> None:
    async with connect() as link:
        with pytest.raises(ValueError, match="taken"):
            link.session.open_scope(ScopeKind.EXECUTION, SCOPE)


async def test_new_grants_count_from_the_next_call(connect) -> None:
    async with connect(grants(epoch=1)) as link:
        with pytest.raises(CallError):
            await link.worker.call(PEEK, KEY, scope=SCOPE)
        link.session.set_grants(grants("config.read:greeting", epoch=2))
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        link.session.set_grants(grants(epoch=1))
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        link.session.set_grants(grants(epoch=3))
        with pytest.raises(CallError):
            await link.worker.call(PEEK, KEY, scope=SCOPE)


async def test_a_revoked_grant_closes_what_no_longer_fits(connect, probe) -> None:
    probe.work = probe.hang
    async with connect() as link:
        kept, kept_handle = hold(link)
        gone, gone_handle = hold(link, fits=False)
        stream = link.worker.open(READ, sql_pb2.FetchRequest(cursor=gone_handle), scope=SCOPE)
        replies = stream.__aiter__()
        await replies.__anext__()
        await probe.entered.wait()
        await link.session.set_grants(grants("config.read:**", epoch=1))
        assert gone.events == ["thing rollback", "thing release"]
        assert kept.events == []
        with pytest.raises(CallError) as ended:
            await replies.__anext__()
        assert ended.value.reason == Reason.GRANT_REVOKED
        with pytest.raises(CallError) as refused:
            await link.worker.open(READ, sql_pb2.FetchRequest(cursor=gone_handle), scope=SCOPE).__aiter__().__anext__()
        assert refused.value.reason == Reason.GRANT_REVOKED
        await link.worker.open(READ, sql_pb2.FetchRequest(cursor=kept_handle), scope=SCOPE).__aiter__().__anext__()


async def test_what_has_to_go_is_gone_at_once_however_long_closing_takes(connect) -> None:
    class Slow(HeldThing):
        async def finish(self, *, success: bool) -> None:
            await super().finish(success=success)
            closing.set()
            await may_close.wait()

    closing, may_close = asyncio.Event(), asyncio.Event()
    async with connect() as link:
        _, waiting = hold(link, fits=False)
        link.session._link.scopes[SCOPE].hold(Slow(fits=False))
        revoked = link.session.set_grants(grants(epoch=1))
        await closing.wait()
        with pytest.raises(CallError) as refused:
            await link.worker.open(READ, sql_pb2.FetchRequest(cursor=waiting), scope=SCOPE).__aiter__().__anext__()
        assert refused.value.reason == Reason.GRANT_REVOKED
        may_close.set()
        await revoked


@pytest.mark.parametrize("has_work", [True, False])
async def test_work_that_a_revoked_grant_rolled_back_cannot_succeed(connect, has_work: bool) -> None:
    class Transaction(HeldThing):
        def uncommitted(self) -> bool:
            return has_work

    async with connect() as link:
        link.session._link.scopes[SCOPE].hold(Transaction(fits=False))
        other, _ = hold(link)
        await link.session.set_grants(grants(epoch=1))
        if not has_work:
            await link.session.close_scope(SCOPE, success=True)
            assert other.events == ["thing commit", "thing release"]
            return
        with pytest.raises(CallError, match="took a grant back that its open transaction needed") as failed:
            await link.session.close_scope(SCOPE, success=True)
        assert failed.value.reason == Reason.GRANT_REVOKED
        assert other.events == ["thing rollback", "thing release"]


@pytest.mark.parametrize(("epoch", "left"), [(1, ()), (1, ("sql.read:users", "kafka.produce:plays"))])
async def test_a_revoked_grant_ends_the_calls_that_depend_on_it(connect, probe, epoch: int, left) -> None:
    probe.work = probe.hang
    async with connect() as link:
        query = link.worker.open(QUERY, sql_pb2.ExecuteRequest(statement="users"), scope=SCOPE)
        rows = query.__aiter__()
        await rows.__anext__()
        send = link.worker.open(SEND, TOPIC, scope=SCOPE)
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        await link.session.set_grants(grants(*left, epoch=epoch))
        if left:
            assert link.session.in_flight == 2
        else:
            for wait in (rows.__anext__(), send.result()):
                with pytest.raises(CallError) as ended:
                    await wait
                assert ended.value.reason == Reason.GRANT_REVOKED


async def test_a_resource_that_cannot_tell_is_closed(connect, caplog) -> None:
    class Unknowing(HeldThing):
        def revoked(self) -> bool:
            raise RuntimeError("no idea")

    async with connect() as link:
        thing = Unknowing()
        link.session._link.scopes[SCOPE].hold(thing)
        with caplog.at_level(logging.ERROR):
            await link.session.set_grants(grants(epoch=1))
        assert thing.events == ["thing rollback", "thing release"]


async def test_executions_of_ended_scopes_are_remembered_but_not_for_ever(connect, probe, monkeypatch) -> None:
    monkeypatch.setattr("moorage.broker.link_state.RECENT_SCOPES", 3)
    async with connect() as link:
        for number in range(10):
            link.session.open_scope(ScopeKind.EXECUTION, f"s-{number}", execution=f"e-{number}")
            await link.session.close_scope(f"s-{number}", success=True)
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        assert dict(probe.callers[0].executions) == {SCOPE: SCOPE, "s-7": "e-7", "s-8": "e-8", "s-9": "e-9"}


async def test_a_scope_counts_its_calls_and_their_bytes(connect) -> None:
    async with connect() as link:
        scope = link.session._link.scopes[SCOPE]
        await link.worker.call(PEEK, KEY, scope=SCOPE)
        size = scope.bytes
        assert (scope.calls, scope.denied) == (1, 0)
        assert size >= len(KEY.SerializeToString()) > 0
        await link.session.set_grants(grants(epoch=2))
        with pytest.raises(CallError):
            await link.worker.call(SEND, TOPIC, scope=SCOPE)
        assert (scope.calls, scope.denied, scope.bytes) == (2, 1, size)
