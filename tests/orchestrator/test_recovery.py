"""What becomes of work whose host died, or lost its lease: each execution has one outcome all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEnded, ExecutionRetried
from moorage.models.execution import Attempt, Execution, ExecutionState, TaskOutcome
from moorage.models.installation import Installation
from moorage.models.policy import RunPolicy
from moorage.orchestrator.orchestrator import Orchestrator
from moorage.orchestrator.recorder import ExecutionPostponed
from moorage.orchestrator.recovery import PATIENCE
from moorage.orchestrator.triggers.base import NotNow
from moorage.store.store import Store

from .conftest import FACTS, FakeClock, Sessions, ended_with, forever, request, until

pytestmark = pytest.mark.timeout(20)


class Hosts:
    """Orchestrators on one store, each of which ends with the test."""

    def __init__(self, store: Store, sessions: Sessions, events: EventBus, clock: FakeClock) -> None:
        self.store, self.sessions, self.events, self.clock = store, sessions, events, clock
        self.policy = RunPolicy(backoff_first=timedelta(seconds=2))
        self.made: list[Orchestrator] = []

    def make(self, host: str = "here", **given: Any) -> Orchestrator:
        made = Orchestrator(
            self.store, self.sessions, self.events, clock=self.clock, host=host, policy_of=self.policy_of, **given
        )
        self.made.append(made)
        return made

    def policy_of(self, _: Installation) -> RunPolicy:
        return self.policy

    async def left(self, identifier: str = "e-0", *, running: bool = True, host: str = "here", **values: Any) -> str:
        """What a host that died left in the store."""
        execution = Execution(
            identifier, "churn", "churn", "1.2.0", "execute", "manual", ExecutionState.QUEUED, self.clock.now(),
            host=host, **values,
        )  # fmt: skip
        await self.store.executions.create(execution)
        if running:
            await self.store.executions.started(identifier, at=self.clock.now(), worker=FACTS, host=host)
        return identifier

    async def outcome(self, orchestrator: Orchestrator, execution: str) -> Execution:
        waiting = asyncio.ensure_future(orchestrator.wait(execution))
        async with asyncio.timeout(5):
            while not waiting.done():
                self.clock.advance(seconds=1)
                await asyncio.sleep(0.001)
        return waiting.result()


@pytest.fixture
async def hosts(store: Store, sessions: Sessions, events: EventBus, clock: FakeClock) -> AsyncIterator[Hosts]:
    made = Hosts(store, sessions, events, clock)
    yield made
    for each in made.made:
        await ended_with(each, clock)


async def test_what_is_noted_as_committed_has_succeeded(hosts: Hosts, store: Store, sessions: Sessions) -> None:
    asked = []

    async def committed(execution: str) -> bool:
        asked.append(execution)
        return execution == "e-0"

    for name in ("e-0", "e-1"):
        await hosts.left(name)
    orchestrator = hosts.make(committed=committed)
    assert await orchestrator.recover() == ()
    orchestrator.resume()
    ended = [await hosts.outcome(orchestrator, name) for name in ("e-0", "e-1")]
    assert [each.state for each in ended] == [ExecutionState.SUCCEEDED, ExecutionState.ABANDONED]
    assert ended[0].progress_message == "What it did was committed; its result was lost."
    assert ended[0] == await store.executions.get("e-0")
    assert (asked, sessions.ran) == (["e-0", "e-1"], [])


@pytest.mark.parametrize(
    ("values", "idempotent"), [({}, True), ({"patient": True, "attempts": 2}, False)], ids=["idempotent", "patient"]
)
async def test_what_may_be_run_again_is(
    hosts: Hosts, store: Store, sessions: Sessions, events: EventBus, values: dict[str, Any], idempotent: bool
) -> None:
    hosts.policy = replace(hosts.policy, idempotent=idempotent)
    await hosts.left(**values)
    announced = events.subscribe(ExecutionRetried)
    orchestrator = hosts.make()
    assert await orchestrator.recover() == ()
    (waiting,) = orchestrator.open_ones()
    assert (waiting.state, waiting.attempt, waiting.worker) == (ExecutionState.QUEUED, 2, None)
    orchestrator.resume()
    ended = await hosts.outcome(orchestrator, "e-0")
    assert (ended.state, ended.attempt, sessions.ran) == (ExecutionState.SUCCEEDED, 2, ["e-0"])
    tried = await store.attempts.list("e-0")
    assert [(each.number, each.state, each.worker) for each in tried] == [
        (1, "abandoned", FACTS),
        (2, "succeeded", FACTS),
    ]
    announced.close()
    assert [event.attempt async for event in announced if isinstance(event, ExecutionRetried)] == [tried[0]]


async def test_a_patient_one_without_attempts_left_is_abandoned(hosts: Hosts, sessions: Sessions) -> None:
    await hosts.left(patient=True, attempts=2, attempt=2)
    (ended,) = await hosts.make().recover()
    assert (ended.state, sessions.ran) == (ExecutionState.ABANDONED, [])


async def test_a_database_that_cannot_be_asked_holds_up_nothing_else(
    hosts: Hosts, store: Store, sessions: Sessions, clock: FakeClock
) -> None:
    async def committed(execution: str) -> bool:
        raise OSError(111, "connection refused")

    await hosts.left()
    await hosts.left("e-1", running=False)
    orchestrator = hosts.make(committed=committed)
    await orchestrator.recover()
    orchestrator.resume()
    assert (await orchestrator.wait("e-1")).state is ExecutionState.SUCCEEDED
    assert (await store.executions.get("e-0")).state is ExecutionState.RUNNING
    began = clock.now()
    ended = await hosts.outcome(orchestrator, "e-0")
    assert ended.state is ExecutionState.ABANDONED
    assert clock.now() - began >= PATIENCE
    assert ended.error is not None
    assert "a database could not be asked" in ended.error.message


async def test_a_database_that_comes_back_is_believed(hosts: Hosts) -> None:
    left = iter([OSError("down"), OSError("down"), True])

    async def committed(execution: str) -> bool:
        answer = next(left)
        if isinstance(answer, OSError):
            raise answer
        return answer

    await hosts.left()
    orchestrator = hosts.make(committed=committed)
    await orchestrator.recover()
    orchestrator.resume()
    assert (await hosts.outcome(orchestrator, "e-0")).state is ExecutionState.SUCCEEDED


async def test_what_an_earlier_attempt_committed_while_this_one_ran_has_succeeded(
    hosts: Hosts, sessions: Sessions
) -> None:
    """Its host only seemed dead, and the database has refused the second commit."""
    noted = False

    async def committed(execution: str) -> bool:
        return noted

    async def refused(execution: Execution, timeout: timedelta) -> TaskOutcome:
        nonlocal noted
        noted = True
        return TaskOutcome(ExecutionState.FAILED)

    sessions.run = refused
    await hosts.left(running=False, attempts=2)
    await hosts.store.executions.started("e-0", at=hosts.clock.now(), worker=FACTS, host="here")
    hosts.policy = replace(hosts.policy, idempotent=True)
    orchestrator = hosts.make(committed=committed)
    await orchestrator.recover()
    orchestrator.resume()
    ended = await hosts.outcome(orchestrator, "e-0")
    assert (ended.state, ended.attempt, sessions.ran) == (ExecutionState.SUCCEEDED, 2, ["e-0"])


async def test_what_is_being_judged_can_be_cancelled_and_is_left_by_a_stop(hosts: Hosts, store: Store) -> None:
    async def committed(execution: str) -> bool:
        await asyncio.Event().wait()
        raise AssertionError

    for name in ("e-0", "e-1"):
        await hosts.left(name)
    orchestrator = hosts.make(committed=committed)
    await orchestrator.recover()
    orchestrator.resume()
    assert (await orchestrator.cancel("e-0", by="dana")).state is ExecutionState.CANCELLED
    await orchestrator.stop()
    assert (await store.executions.get("e-1")).state is ExecutionState.RUNNING
    with pytest.raises(ExecutionPostponed):
        await orchestrator.wait("e-1")


async def test_what_a_stop_interrupts_is_left_to_the_next_host_where_it_may_be_run_again(
    hosts: Hosts, store: Store, sessions: Sessions
) -> None:
    sessions.run = forever
    orchestrator = hosts.make()
    patient = await orchestrator.submit(request(patient=True, attempts=2))
    await sessions.until(lambda: bool(sessions.running))
    caller = asyncio.ensure_future(orchestrator.wait(patient.id))
    await ended_with(orchestrator, hosts.clock)
    with pytest.raises(ExecutionPostponed):
        await caller
    waiting = await store.executions.get(patient.id)
    assert (waiting.state, waiting.attempt) == (ExecutionState.QUEUED, 2)

    sessions.run = sessions.succeed
    heir = hosts.make()
    await heir.recover()
    heir.resume()
    assert (await hosts.outcome(heir, patient.id)).state is ExecutionState.SUCCEEDED
    assert [each.state for each in await store.attempts.list(patient.id)] == ["cancelled", "succeeded"]


# -- several hosts ------------------------------------------------------------------------------------------------


async def test_a_host_recovers_only_what_is_its_own(hosts: Hosts, store: Store, sessions: Sessions) -> None:
    await hosts.left("e-0", running=False, host="here")
    await hosts.left("e-1", running=False, host="there")
    # As it was left by a version that knew no hosts.
    await hosts.left("e-2", running=False, host="")
    orchestrator = hosts.make("here")
    await orchestrator.recover()
    orchestrator.resume()
    for name in ("e-0", "e-2"):
        assert (await orchestrator.wait(name)).state is ExecutionState.SUCCEEDED
    assert sessions.ran == ["e-0", "e-2"]
    assert (await store.executions.get("e-1")).host == "there"
    assert (await store.executions.get("e-2")).host == "here"


async def test_what_a_dead_host_had_goes_to_one_of_the_others(hosts: Hosts, store: Store, sessions: Sessions) -> None:
    names = [f"e-{number}" for number in range(10)]
    for name in names:
        await hosts.left(name, running=name == "e-9", host="dead")
    await hosts.left("e-alive", running=False, host="alive")
    heirs = [hosts.make(name) for name in ("one", "two")]
    await asyncio.gather(*(heir.take_over(["dead"]) for heir in heirs))
    ended = [await hosts.outcome(heirs[0], name) for name in names]
    assert [each.state for each in ended] == ["succeeded"] * 9 + ["abandoned"]
    assert sorted(sessions.ran) == names[:9]
    assert {each.host for each in ended} <= {"one", "two"}
    assert (await store.executions.get("e-alive")).host == "alive"


async def test_a_host_that_is_still_there_writes_nothing_of_what_was_taken(
    hosts: Hosts, store: Store, sessions: Sessions
) -> None:
    """Its lease ran out while it hung; it does not know yet."""
    hosts.policy = replace(hosts.policy, idempotent=True)
    release = asyncio.Event()

    async def runs_twice(execution: Execution, timeout: timedelta) -> TaskOutcome:
        if execution.attempt == 1:
            await release.wait()
            return TaskOutcome(ExecutionState.SUCCEEDED, result="of the first")
        return TaskOutcome(ExecutionState.SUCCEEDED, result="of the second")

    sessions.run = runs_twice
    slow, heir = hosts.make("slow"), hosts.make("heir")
    running = await slow.submit(request())
    waiting = await slow.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    await heir.take_over(["slow"])
    caller = asyncio.ensure_future(slow.wait(running.id))
    release.set()
    ended = await hosts.outcome(heir, running.id)
    assert (ended.result, ended.host, ended.attempt) == ("of the second", "heir", 2)
    assert (await hosts.outcome(heir, waiting.id)).host == "heir"
    # Who waits at the host that lost it hears of the outcome.
    assert await hosts.outcome(slow, running.id) == ended
    assert await caller == ended
    assert sessions.ran.count(waiting.id) == 1
    assert slow.open_ones() == ()


async def test_without_its_lease_a_host_does_nothing(hosts: Hosts, store: Store, sessions: Sessions) -> None:
    sessions.run = forever
    orchestrator = hosts.make()
    running = await orchestrator.submit(request())
    waiting = await orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))

    orchestrator.lease_lost()
    orchestrator.lease_lost()
    await until(lambda: not sessions.running and not orchestrator.open_ones())
    assert (await store.executions.get(running.id)).state is ExecutionState.RUNNING
    assert (await store.executions.get(waiting.id)).state is ExecutionState.QUEUED
    with pytest.raises(NotNow, match="lost its place among the hosts"):
        await orchestrator.submit(request(patient=True))
    rejected = await orchestrator.submit(request())
    assert (rejected.state, rejected.error and rejected.error.type) == ("rejected", "no_lease")

    sessions.run = sessions.succeed
    await orchestrator.lease_regained()
    assert (await hosts.outcome(orchestrator, running.id)).state is ExecutionState.ABANDONED
    assert (await hosts.outcome(orchestrator, waiting.id)).state is ExecutionState.SUCCEEDED
    assert (await orchestrator.run(request(patient=True))).state is ExecutionState.SUCCEEDED


async def test_a_lease_that_is_back_before_the_work_has_ended_takes_it_up_then(
    hosts: Hosts, store: Store, sessions: Sessions
) -> None:
    gone = asyncio.Event()

    async def slow_to_go(execution: Execution, timeout: timedelta) -> TaskOutcome:
        try:
            await asyncio.Event().wait()
        finally:
            await gone.wait()
        raise AssertionError

    sessions.run = slow_to_go
    orchestrator = hosts.make()
    running = await orchestrator.submit(request())
    await sessions.until(lambda: bool(sessions.running))
    orchestrator.lease_lost()
    await orchestrator.lease_regained()
    assert (await store.executions.get(running.id)).state is ExecutionState.RUNNING
    gone.set()
    assert (await hosts.outcome(orchestrator, running.id)).state is ExecutionState.ABANDONED


async def test_what_no_host_has_installed_any_more_gets_its_outcome(hosts: Hosts, store: Store) -> None:
    await hosts.left("e-0", running=False, host="dead")
    await hosts.left("e-1", host="dead")
    await store.installations.remove("churn")
    heir = hosts.make("heir")
    await heir.take_over(["dead"])
    ended = [await store.executions.get(name) for name in ("e-0", "e-1")]
    assert [each.state for each in ended] == [ExecutionState.REJECTED, ExecutionState.ABANDONED]


async def test_every_outcome_is_announced_once(hosts: Hosts, events: EventBus) -> None:
    announced = events.subscribe(ExecutionEnded)
    for name in ("e-0", "e-1"):
        await hosts.left(name, host="dead")
    heirs = [hosts.make(name) for name in ("one", "two")]
    await asyncio.gather(*(heir.take_over(["dead"]) for heir in heirs))
    announced.close()
    assert sorted([event.execution.id async for event in announced if isinstance(event, ExecutionEnded)]) == [
        "e-0",
        "e-1",
    ]


async def test_the_last_word_of_a_dead_host_may_be_written_while_it_is_judged(
    hosts: Hosts, store: Store, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had asked for the next attempt, and the database did it after all."""
    await hosts.left(patient=True, attempts=5)
    inside = store.executions.again

    async def overtaken(execution: Execution, ended: Attempt) -> bool:
        monkeypatch.setattr(store.executions, "again", inside)
        assert await inside(execution, ended)
        return await inside(execution, ended)

    monkeypatch.setattr(store.executions, "again", overtaken)
    orchestrator = hosts.make()
    await orchestrator.recover()
    orchestrator.resume()
    ended = await hosts.outcome(orchestrator, "e-0")
    assert (ended.state, ended.attempt, sessions.ran) == (ExecutionState.SUCCEEDED, 2, ["e-0"])


# -- very many ----------------------------------------------------------------------------------------------------


class Asked:
    """Counts what is asked of a store."""

    def __init__(self, store: Store) -> None:
        self.reads = self.writes = 0
        database = store._database
        read, write = database.read, database.write

        async def counted_read(work: Any) -> Any:
            self.reads += 1
            return await read(work)

        async def counted_write(work: Any) -> Any:
            self.writes += 1
            return await write(work)

        database.read, database.write = counted_read, counted_write  # type: ignore[method-assign]


async def test_a_backlog_is_taken_up_by_pages_in_its_order_and_left_without_a_word(
    hosts: Hosts, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moorage.orchestrator.takeover.PAGE", 10)
    left = [await hosts.left(f"e-{number:03}", running=False) for number in range(35)]
    sessions.run = forever
    asked = Asked(hosts.store)
    orchestrator = hosts.make()
    await orchestrator.recover()
    assert [each.id for each in orchestrator.open_ones()] == left
    assert (asked.reads, asked.writes) == (1 + 5 + 4, 0)  # what ran; pages of what waited; their installation
    waiting = asyncio.ensure_future(orchestrator.wait(left[-1]))
    orchestrator.resume()
    await sessions.until(lambda: sessions.running == left[:1])
    asked.writes = 0
    await ended_with(orchestrator, hosts.clock)
    with pytest.raises(ExecutionPostponed):
        await waiting
    assert asked.writes == 1  # the outcome of the one that ran
    assert len(await hosts.store.executions.open_ones("here")) == 34
