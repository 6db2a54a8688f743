"""One key, one execution: whoever submits it, however often, on whichever host."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from moorage.events.bus import EventBus
from moorage.models.execution import ExecutionState
from moorage.models.installation import DesiredState
from moorage.orchestrator.errors import ExecutionOpen, KeyTaken, RunsElsewhere
from moorage.orchestrator.orchestrator import Orchestrator
from moorage.store.errors import ExecutionUnknown, StoreFailed
from moorage.store.store import Store

from .conftest import FakeClock, Sessions, ended_with, forever, installation, request, until

pytestmark = pytest.mark.timeout(20)


async def test_a_key_that_comes_again_is_the_same_execution(
    orchestrator: Orchestrator, sessions: Sessions, store: Store
) -> None:
    sessions.run = forever
    first = await orchestrator.submit(request(key="order-17", input=1))
    open_one = await orchestrator.submit(request(key="order-17", input=2))
    assert (open_one.id, open_one.input) == (first.id, 1)
    await sessions.until(lambda: bool(sessions.running))
    assert (await orchestrator.submit(request(key="order-17"))).state is ExecutionState.RUNNING
    ended = await orchestrator.cancel(first.id)
    assert await orchestrator.run(request(key="order-17")) == ended
    assert (await orchestrator.submit(request(key="order-18"))).id != first.id
    assert [each.key for each in await store.executions.list()] == ["order-18", "order-17"]
    await orchestrator.cancel((await store.executions.list())[0].id)


async def test_without_a_key_each_is_another(orchestrator: Orchestrator) -> None:
    both = [await orchestrator.run(request()) for _ in range(2)]
    assert both[0].id != both[1].id


async def test_an_ended_one_is_found_although_its_installation_may_not_run_now(
    orchestrator: Orchestrator, store: Store
) -> None:
    ended = await orchestrator.run(request(key="k"))
    await store.installations.set_desired("churn", DesiredState(enabled=False))
    assert await orchestrator.submit(request(key="k")) == ended
    assert (await orchestrator.submit(request(key="l"))).state is ExecutionState.REJECTED


async def test_many_that_come_together_are_one(orchestrator: Orchestrator, sessions: Sessions) -> None:
    ended = await asyncio.gather(*(orchestrator.run(request(key="k")) for _ in range(20)))
    assert len({each.id for each in ended}) == 1
    assert sessions.ran == [ended[0].id]
    # None of them keeps a place in the queue.
    further = await asyncio.gather(*(orchestrator.run(request()) for _ in range(4)))
    assert {each.state for each in further} == {ExecutionState.SUCCEEDED}


async def test_two_hosts_that_get_a_key_at_the_same_time_run_it_once(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock
) -> None:
    hosts = [Orchestrator(store, sessions, events, clock=clock, host=name) for name in ("here", "there")]
    submitted = await asyncio.gather(*(host.submit(request(key="k")) for host in hosts for _ in range(5)))
    assert len({each.id for each in submitted}) == 1
    waiting = [asyncio.ensure_future(host.wait(submitted[0].id)) for host in hosts]
    await until(lambda: any(each.done() for each in waiting))
    while not all(each.done() for each in waiting):
        clock.advance(seconds=1)
        await asyncio.sleep(0.001)
    assert len({each.result().id for each in waiting}) == 1
    assert sessions.ran == [submitted[0].id]
    for host in hosts:
        await ended_with(host, clock)


async def test_a_key_of_another_installations_execution_is_refused(orchestrator: Orchestrator, store: Store) -> None:
    await store.installations.add(installation("other"))
    await orchestrator.run(request(key="k"))
    with pytest.raises(KeyTaken, match=r"The key 'k' belongs to e-.*, a run of churn execute"):
        await orchestrator.submit(replace(request(key="k"), installation="other"))
    assert (await orchestrator.run(replace(request(key="l"), installation="other"))).state is ExecutionState.SUCCEEDED


async def test_what_was_written_although_the_store_said_no_is_taken_up_with_its_key(
    orchestrator: Orchestrator, store: Store, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = store.executions.create

    async def written_but_not_answered(*given: Any) -> Any:
        await create(*given)
        raise StoreFailed("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(store.executions, "create", written_but_not_answered)
        with pytest.raises(StoreFailed):
            await orchestrator.submit(request(key="k"))
    assert sessions.ran == []
    assert (await orchestrator.run(request(key="k"))).state is ExecutionState.SUCCEEDED
    assert len(sessions.ran) == 1


# -- a person's retry ---------------------------------------------------------------------------------------------


async def test_a_retry_is_a_new_execution_with_the_same_input(
    orchestrator: Orchestrator, sessions: Sessions, store: Store
) -> None:
    sessions.run = forever
    first = await orchestrator.submit(request(task="count", input={"since": 3}, key="k", trigger_id="churn/nightly"))
    with pytest.raises(ExecutionOpen, match=f"{first.id} is still .* moorage cancel {first.id}"):
        await orchestrator.retry(first.id, by="dana")
    await orchestrator.cancel(first.id)
    retried = await orchestrator.retry(first.id, by="dana")
    assert (retried.task, retried.input, retried.retry_of) == ("count", {"since": 3}, first.id)
    assert (retried.key, retried.trigger_id, retried.trigger, retried.by) == ("", "", "manual", "dana")
    assert retried.id != first.id
    assert (await orchestrator.cancel(retried.id)).state is ExecutionState.CANCELLED
    assert (await store.executions.get(first.id)).state is ExecutionState.CANCELLED


async def test_what_never_was_cannot_be_retried(orchestrator: Orchestrator) -> None:
    with pytest.raises(ExecutionUnknown):
        await orchestrator.retry("e-ghost")


# -- cancelling what another host has -----------------------------------------------------------------------------


async def test_what_another_host_runs_is_its_to_cancel_and_what_waits_there_is_anybodys(
    store: Store, sessions: Sessions, events: EventBus, clock: FakeClock
) -> None:
    here, there = (Orchestrator(store, sessions, events, clock=clock, host=name) for name in ("here", "there"))
    sessions.run = forever
    running = await there.submit(request())
    waiting = await there.submit(request())
    await sessions.until(lambda: bool(sessions.running))

    with pytest.raises(RunsElsewhere, match="runs on the host there"):
        await here.cancel(running.id)
    cancelled = await here.cancel(waiting.id, by="dana")
    assert cancelled.state is ExecutionState.CANCELLED
    assert (await there.cancel(running.id)).state is ExecutionState.CANCELLED
    # Its turn comes there, and it does not run.
    assert await there.wait(waiting.id) == cancelled
    assert sessions.ran == [running.id]
    for host in (here, there):
        await ended_with(host, clock)
