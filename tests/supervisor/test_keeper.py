"""One keeper with workers in memory and a clock that a test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fake_workers import CRASH, FakeLink, FakeWorker, World, installation

from moorage.models.execution import Execution, ExecutionState, TaskOutcome
from moorage.models.incarnation import IncarnationState, Verdict, VerdictKind
from moorage.store.errors import StoreFailed
from moorage.supervisor import incarnation as incarnation_module
from moorage.supervisor.desired import Disable, Enable, Hold, Quarantine, Release, Scale
from moorage.supervisor.errors import NotRunnable, StartFailed
from moorage.supervisor.incarnation import Incarnation
from moorage.supervisor.lifecycle import Transition
from moorage.supervisor.orders import Commission
from moorage.supervisor.restarts import Policy
from moorage.supervisor.widening import widening_of
from moorage_proto.capability import Grants, parse

MakeWorld = Callable[..., World]


@pytest.fixture
async def world_of() -> AsyncIterator[MakeWorld]:
    made = []

    def make(*arguments: object, **options: object) -> World:
        made.append(World(*arguments, **options))
        return made[-1]

    yield make
    for world in made:
        await world.end()


@pytest.fixture
async def world(world_of: MakeWorld) -> World:
    return world_of()


async def session(world: World) -> Incarnation:
    """One short session: who served it."""
    async with world.keeper.session() as incarnation:
        return incarnation


async def use(world: World) -> Incarnation:
    async with asyncio.timeout(5):
        return await session(world)


async def is_up(world: World, workers: int = 1) -> None:
    await world.until(lambda: len(world.keeper.ready) == workers)


# -- on demand -----------------------------------------------------------------------------------------------------


async def test_nothing_starts_before_it_is_needed_and_all_who_need_it_share_one_start(world: World) -> None:
    await world.settle()
    assert world.made == 0
    served = await asyncio.gather(*(use(world) for _ in range(5)), world.keeper.start())
    assert len(set(served)) == 1
    assert world.made == 1


async def test_a_failed_start_is_told_to_all_who_wait_and_not_repeated_for_nobody(world: World) -> None:
    world.fails_to_load = True
    told = await asyncio.gather(*(use(world) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, StartFailed) and "No plugin in it" in str(error) for error in told)
    world.clock.advance(hours=1)
    await world.settle()
    assert world.made == 1
    world.fails_to_load = False
    await use(world)
    assert world.made == 2


async def test_why_a_start_came_to_no_worker_is_kept_until_one_succeeds_or_nobody_wants_it(world: World) -> None:
    means = world.keeper._means
    refused = NotRunnable("churn", "its data folder is full.")

    async def refuse(_: Commission) -> Incarnation:
        raise refused

    for over in (world.keeper.start, lambda: world.keeper.stop("x")):
        await world.keeper.stop("x")
        world.keeper._means = replace(means, make=refuse)
        with pytest.raises(NotRunnable):
            await use(world)
        assert world.keeper.problem == "churn does not run: its data folder is full."
        world.keeper._means = means
        await over()
        assert world.keeper.problem == ""


async def test_who_comes_after_a_failed_start_waits_for_the_backoff_and_a_person_does_not(world: World) -> None:
    world.fails_to_load = True
    with pytest.raises(StartFailed):
        await use(world)
    world.fails_to_load = False
    waiting = asyncio.ensure_future(use(world))
    await world.settle()
    assert world.made == 1
    assert (await world.keeper.start()).ready
    assert (await waiting).ready


# -- deaths --------------------------------------------------------------------------------------------------------


async def test_a_worker_that_dies_is_started_again_after_a_while_and_who_waits_is_served_by_it(world: World) -> None:
    first = await use(world)
    next(iter(world.alive)).die()
    await world.until(lambda: not world.keeper.ready)
    waiting = asyncio.ensure_future(use(world))
    await world.settle()
    assert world.made == 1
    assert world.keeper.rest == timedelta(seconds=0.2)
    world.clock.advance(seconds=0.2)
    second = await waiting
    assert second is not first
    assert world.keeper.rest is None


async def test_it_is_kept_up_though_nobody_waits(world: World) -> None:
    await use(world)
    next(iter(world.alive)).die()
    await world.settle()
    world.clock.advance(seconds=1)
    await is_up(world)


async def test_a_restart_that_fails_is_tried_again_with_longer_and_longer_waits(world_of: MakeWorld) -> None:
    world = world_of(Policy(restarts=3))
    await use(world)
    world.fails_to_load = True
    next(iter(world.alive)).die()
    await world.settle()
    waits = []
    while not world.changes:
        assert world.keeper.rest is not None
        waits.append(world.keeper.rest.total_seconds())
        world.clock.advance(seconds=waits[-1])
        await world.settle()
    assert waits == [0.2, 0.4, 0.8]
    (change,) = world.changes
    assert isinstance(change, Quarantine)
    assert "died 4 times" in change.because
    assert "No plugin in it" in change.because


async def test_beyond_its_budget_it_is_quarantined_and_a_release_brings_it_back(world_of: MakeWorld) -> None:
    world = world_of(Policy(restarts=1))
    await use(world)
    for _ in range(2):
        await is_up(world)
        next(iter(world.alive)).die()
        await world.settle()
        world.clock.advance(seconds=1)
    await world.until(lambda: bool(world.changes))
    with pytest.raises(NotRunnable, match=r"exited with code 3.*moorage release churn"):
        await use(world)
    world.clock.advance(hours=1)
    await world.settle()
    assert not world.alive

    world.change(Release())
    await is_up(world)
    assert world.made == 3


async def test_those_who_wait_when_it_is_quarantined_are_refused(world_of: MakeWorld) -> None:
    world = world_of(Policy(restarts=0))
    await use(world)
    next(iter(world.alive)).die()
    await world.until(lambda: not world.keeper.ready)
    waiting = [asyncio.ensure_future(use(world)) for _ in range(3)]
    for told in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(told, (NotRunnable, StartFailed))
        assert "moorage release churn" in str(told)


async def test_a_forbidden_system_call_is_quarantined_at_once_but_in_development(world_of: MakeWorld) -> None:
    forbidden = Verdict(VerdictKind.FORBIDDEN_SYSTEM_CALL, "It called ptrace.")
    for forgiving, changes in ((False, [Quarantine("It called ptrace.")]), (True, [])):
        world = world_of(Policy(forgiving=forgiving))
        await use(world)
        next(iter(world.alive)).die(forbidden)
        await world.settle()
        assert world.changes == changes


async def test_a_quarantine_that_cannot_be_stored_counts_all_the_same(world_of: MakeWorld, monkeypatch) -> None:
    world = world_of(Policy(restarts=0))

    async def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(world.keeper, "_means", world.keeper._means.__class__(**{
        **vars(world.keeper._means), "quarantine": fails
    }))  # fmt: skip
    await use(world)
    next(iter(world.alive)).die()
    await world.settle()
    with pytest.raises(NotRunnable, match="quarantine"):
        await use(world)


async def test_planned_stops_never_count(world_of: MakeWorld) -> None:
    world = world_of(Policy(restarts=0))
    for _ in range(5):
        await use(world)
        await world.keeper.stop("a person asked for it")
    await use(world)
    await world.keeper.kill("by a person")
    await use(world)
    assert not world.changes


async def test_stable_uptime_forgives_and_a_successful_start_does_not(world_of: MakeWorld) -> None:
    for seconds, quarantined in ((61, False), (59, True)):
        world = world_of(Policy(restarts=1, window=timedelta(hours=1)))
        await use(world)
        for _ in range(2):
            await is_up(world)
            world.clock.advance(seconds=seconds)
            await world.settle()
            next(iter(world.alive)).die()
            await world.settle()
            world.clock.advance(seconds=1)
        await world.settle()
        assert bool(world.changes) is quarantined


# -- what people do ------------------------------------------------------------------------------------------------


async def test_a_stop_refuses_who_waits_for_a_start_and_starts_nothing_again(world: World) -> None:
    world.may_load.clear()
    waiting = asyncio.ensure_future(use(world))
    await world.until(lambda: bool(world.alive))
    ended = await world.keeper.stop("a person asked for it")
    with pytest.raises(NotRunnable, match="it was stopped while it started"):
        await waiting
    assert (ended.executions, world.alive) == ((), set())
    world.clock.advance(hours=1)
    await world.settle()
    assert world.made == 1


async def test_who_comes_while_it_stops_gets_the_next_worker(world: World) -> None:
    first = await use(world)
    stopping = asyncio.ensure_future(world.keeper.stop("a person asked for it"))
    await asyncio.sleep(0)
    assert await use(world) is not first
    await stopping
    assert world.most_alive == 1


async def test_a_stop_waits_for_sessions(world: World) -> None:
    async with world.keeper.session():
        stopping = asyncio.ensure_future(world.keeper.stop("a person asked for it"))
        await world.settle()
        assert world.alive
        assert not stopping.done()
    await stopping
    assert not world.alive


async def test_what_was_up_is_up_again_after_a_hold_and_what_was_not_is_not(world: World) -> None:
    world.change(Hold("INC-4711", by="dana"))
    with pytest.raises(NotRunnable, match="dana holds it: INC-4711"):
        await use(world)
    world.change(Release())
    await world.settle()
    assert world.made == 0

    await use(world)
    for change, back in ((Hold("INC-4711", by="dana"), Release()), (Disable(), Enable())):
        world.change(change)
        await world.until(lambda: not world.keeper.incarnations)
        world.clock.advance(hours=1)
        await world.settle()
        assert not world.alive
        world.change(back)
        await is_up(world)


# -- several workers -----------------------------------------------------------------------------------------------


async def test_replicas_start_at_the_same_time_and_share_sessions_in_turn(world: World) -> None:
    world.change(Scale(replicas=3))
    await use(world)
    await is_up(world, 3)
    assert world.most_alive == 3
    served = [await use(world) for _ in range(6)]
    assert [served.count(each) for each in world.keeper.ready] == [2, 2, 2]
    assert served[:3] == served[3:]


async def test_the_one_with_the_fewest_sessions_is_next(world: World) -> None:
    world.change(Scale(replicas=2))
    await use(world)
    await is_up(world, 2)
    async with world.keeper.session() as busy:
        served = {await use(world) for _ in range(4)}
        assert busy not in served
        async with world.keeper.session(), world.keeper.session():
            assert sorted(each.sessions for each in world.keeper.ready) == [1, 2]


async def test_a_dead_one_is_replaced_while_the_others_serve(world: World) -> None:
    world.change(Scale(replicas=2))
    await use(world)
    await is_up(world, 2)
    next(iter(world.alive)).die()
    await world.until(lambda: len(world.keeper.incarnations) == 1)
    assert await use(world) in world.keeper.ready
    world.clock.advance(seconds=1)
    await is_up(world, 2)
    assert world.most_alive == 2


async def test_scaling_down_lets_work_finish(world: World) -> None:
    world.change(Scale(replicas=3))
    await use(world)
    await is_up(world, 3)
    async with world.keeper.session() as busy:
        world.change(Scale(replicas=1))
        await world.until(lambda: len(world.alive) == 1)
        assert busy.ready
    world.change(Scale(replicas=2))
    await is_up(world, 2)


async def test_one_that_cannot_start_is_no_matter_to_those_who_another_serves(world: World) -> None:
    await use(world)
    world.fails_to_load = True
    world.change(Scale(replicas=2))
    await world.settle()
    assert await use(world) in world.keeper.ready
    assert world.keeper.rest is not None


# -- grants --------------------------------------------------------------------------------------------------------


async def test_a_grant_that_changes_the_sandbox_replaces_the_worker_and_another_does_not(world: World) -> None:
    first = await use(world)
    world.grant("sql.read:users")
    await world.settle()
    assert first.ready
    world.grant("sql.read:users", "sandbox.subprocess")
    second = await use(world)
    assert second is not first
    assert (await first.wait()).sentence == "Stopped: its sandbox was made for other grants."
    world.grant("sql.read:users")
    assert await use(world) not in (first, second)
    assert world.most_alive == 1


async def test_grants_that_change_while_it_starts_count(world_of: MakeWorld) -> None:
    for turns in range(12):
        world = world_of()
        starting = asyncio.ensure_future(use(world))
        for _ in range(turns):
            await asyncio.sleep(0)
        world.grant("sandbox.subprocess")
        await starting
        await world.settle()
        assert (await use(world)).widening == widening_of(world.grants)


# -- idle ----------------------------------------------------------------------------------------------------------


async def test_without_sessions_for_long_it_is_stopped_and_the_next_one_starts_it(world_of: MakeWorld) -> None:
    world = world_of(idle_stop=timedelta(seconds=60))
    first = await use(world)
    world.clock.advance(seconds=59)
    await world.settle()
    async with world.keeper.session():
        world.clock.advance(seconds=600)
        await world.settle()
        assert first.ready
    world.clock.advance(seconds=59)
    await world.settle()
    assert first.ready
    world.clock.advance(seconds=1)
    await world.until(lambda: not world.alive)
    verdict = await first.wait()
    assert (verdict.kind, verdict.sentence) == (VerdictKind.PLANNED_STOP, "Stopped: idle.")
    assert await use(world) is not first


async def test_a_session_in_the_moment_of_the_idle_stop_is_served(world_of: MakeWorld) -> None:
    for turns in range(25):
        world = world_of(idle_stop=timedelta(seconds=60))
        await use(world)
        await world.settle()
        world.clock.advance(seconds=60)
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5), world.keeper.session() as incarnation:
            outcome = await incarnation.run_task(_execution(), timedelta(seconds=5))
        assert outcome.state == "succeeded"


# -- for reloads ---------------------------------------------------------------------------------------------------


async def test_a_prepared_one_takes_sessions_from_its_adoption_on_and_the_old_one_drains(world: World) -> None:
    old = await use(world)
    fresh = await world.keeper.prepare(installation(timeout=timedelta(seconds=7)))
    assert await use(world) is old
    async with world.keeper.session() as lent:
        assert lent is old
        await world.keeper.adopt([fresh])
        assert await use(world) is fresh
        await world.settle()
        assert not old.ended
    await asyncio.wait_for(world.keeper.left(), 5)
    assert old.ended
    assert (await old.wait()).sentence == "Stopped: replaced by #2."
    assert world.keeper.installation.manifest.limits.timeout == timedelta(seconds=7)
    assert world.keeper.ready == (fresh,)


async def test_one_that_cannot_be_prepared_changes_nothing(world: World) -> None:
    old = await use(world)
    world.fails_to_load = True
    with pytest.raises(StartFailed, match="No plugin in it"):
        await world.keeper.prepare(installation())
    await world.settle()
    assert len(world.alive) == 1
    assert world.keeper.rest is None
    assert await use(world) is old


async def test_a_prepared_one_that_died_is_not_adopted(world: World) -> None:
    old = await use(world)
    fresh = await world.keeper.prepare(installation())
    next(worker for worker in world.alive if worker is not _worker_of(old)).die()
    await world.settle()
    with pytest.raises(StartFailed, match="exited with code 3"):
        await world.keeper.adopt([fresh])
    assert await use(world) is old


async def test_sessions_wait_out_a_pause(world: World) -> None:
    old = await use(world)
    async with world.keeper.paused("reload"):
        waiting = asyncio.ensure_future(use(world))
        assert await world.keeper.drained(timedelta(seconds=5))
        await world.keeper.retire("reload")
        await world.settle()
        assert not world.alive
        assert not waiting.done()
        fresh = await world.keeper.prepare(installation())
        await world.keeper.adopt([fresh])
        await world.settle()
        assert not waiting.done()
    assert await waiting is fresh
    assert old.ended


async def test_a_pause_ends_though_nothing_was_adopted(world: World) -> None:
    await use(world)
    async with world.keeper.paused("reload"):
        await world.keeper.retire("reload")
    assert (await use(world)).ready


# -- cancellation --------------------------------------------------------------------------------------------------


async def test_a_caller_that_leaves_takes_nothing_with_it(world: World) -> None:
    world.may_load.clear()
    leaving, staying = asyncio.ensure_future(use(world)), asyncio.ensure_future(use(world))
    await world.until(lambda: bool(world.alive))
    leaving.cancel()
    await world.settle()
    world.may_load.set()
    assert (await staying).sessions == 0


async def test_cancelled_at_any_step_nothing_is_lost_or_left(world_of: MakeWorld) -> None:
    """One of two who wait leaves in each turn of the loop; the other is served, and no session stays open."""
    for turns in range(30):
        world = world_of()
        calls = [asyncio.ensure_future(use(world)) for _ in range(2)]
        for _ in range(turns):
            await asyncio.sleep(0)
        calls[0].cancel()
        assert (await calls[1]).ready
        await asyncio.wait(calls)
        await world.settle()
        assert [each.sessions for each in world.keeper.ready] == [0]


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_ended_at_any_step_of_a_start_it_is_gone_and_everybody_is_answered(world_of: MakeWorld, end: str) -> None:
    for turns in range(1, 30):
        world = world_of()
        world.change(Scale(replicas=2))
        calls = [asyncio.ensure_future(use(world)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await getattr(world.keeper, end)("by a test")
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, (Incarnation, NotRunnable)) for each in answers), answers
        await world.settle()
        assert not world.alive
        assert (await use(world)).ready


async def test_a_death_at_any_step_is_survived(world_of: MakeWorld) -> None:
    for turns in range(0, 40, 2):
        world = world_of()
        calls = [asyncio.ensure_future(use(world)) for _ in range(2)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for worker in tuple(world.alive):
            worker.die()
        for _ in range(3):
            await world.settle()
            world.clock.advance(seconds=1)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, (Incarnation, StartFailed)) for each in answers), answers
        assert (await use(world)).ready


async def test_a_preparation_that_is_given_up_leaves_nothing(world_of: MakeWorld) -> None:
    for turns in range(0, 30, 2):
        world = world_of()
        old = await use(world)
        preparing = asyncio.ensure_future(world.keeper.prepare(installation()))
        for _ in range(turns):
            await asyncio.sleep(0)
        preparing.cancel()
        await asyncio.wait((preparing,))
        await world.settle()
        if not preparing.cancelled():
            await world.keeper.adopt([preparing.result()])
            await world.keeper.left()
            assert old.ended
        assert len(world.alive) == 1
        assert (await use(world)).ready


async def test_every_step_is_told_in_order_with_its_reason(world: World) -> None:
    await use(world)
    await world.keeper.stop("a person asked for it")
    states = [(each.before, each.status.state, each.reason) for each in world.transitions]
    starting, ready, draining, stopped = IncarnationState
    assert states == [
        (starting, starting, "it starts"),
        (starting, ready, "it has loaded"),
        (ready, draining, "a person asked for it"),
        (draining, stopped, "Stopped: a person asked for it."),
    ]


def _worker_of(incarnation: Incarnation) -> object:
    return incarnation._worker


def _execution() -> object:
    class Execution:
        id = "e-1"

    return Execution()


# -- starts that something else ended --------------------------------------------------------------------------------

KILLED = Verdict(VerdictKind.SIGNALLED, "The worker was killed (SIGKILL).", signal="SIGKILL")
ZYGOTE = Verdict(VerdictKind.ZYGOTE_LOST, "The zygote ended.", signal="SIGKILL")


async def starting(world: World) -> None:
    """A start is under way, and cannot end by itself."""
    world.may_load.clear()
    await world.until(lambda: bool(world.alive))
    await world.settle()


@pytest.mark.parametrize("verdict", [KILLED, ZYGOTE])
async def test_who_waits_for_a_start_that_something_else_ended_waits_for_the_next(
    world: World, verdict: Verdict
) -> None:
    waiting = [asyncio.ensure_future(use(world)) for _ in range(3)]
    for number in range(1, 4):
        await starting(world)
        next(iter(world.alive)).die(verdict)
        await world.settle()
        assert world.made == number
        assert not any(each.done() for each in waiting)
        world.clock.advance(seconds=1)
    world.may_load.set()
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert world.made == 4


async def test_a_worker_that_dies_of_itself_as_it_starts_is_waited_for_no_more(world: World) -> None:
    waiting = asyncio.ensure_future(use(world))
    await starting(world)
    next(iter(world.alive)).die()
    with pytest.raises(StartFailed, match="code 3"):
        await waiting


@pytest.mark.parametrize("verdict", [KILLED, ZYGOTE])
async def test_starts_that_something_ends_again_and_again_are_not_waited_for_without_end(
    world_of: MakeWorld, verdict: Verdict
) -> None:
    world = world_of(Policy(restarts=2))
    waiting = asyncio.ensure_future(use(world))
    for _ in range(3):
        assert not waiting.done()
        await starting(world)
        next(iter(world.alive)).die(verdict)
        await world.settle()
        world.clock.advance(seconds=5)
        await world.settle()
    with pytest.raises((StartFailed, NotRunnable)):
        await waiting
    assert bool(world.changes) == (verdict is KILLED)


async def test_one_whom_a_person_kills_past_the_host_does_not_come_back_by_itself(world: World) -> None:
    directly = Verdict(VerdictKind.KILLED_BY_OPERATOR, "Killed directly by grace.")
    await use(world)
    next(iter(world.alive)).die(directly)
    await world.settle()
    world.clock.advance(hours=1)
    await world.settle()
    assert (world.made, world.keeper.wanted) == (1, False)
    world.may_load.clear()
    waiting = asyncio.ensure_future(use(world))
    await starting(world)
    next(iter(world.alive)).die(directly)
    with pytest.raises(NotRunnable):
        await waiting
    world.clock.advance(hours=1)
    await world.settle()
    assert world.made == 2


async def test_how_a_worker_of_the_old_version_dies_as_it_drains_does_not_count_against_the_new(world: World) -> None:
    async with world.keeper.session():
        (fresh,) = [await world.keeper.prepare(installation())]
        await world.keeper.adopt([fresh], timedelta(days=1))
        await world.until(lambda: len(world.keeper.leaving) == 1)
        next(worker for worker in world.alive if worker is not _worker_of(fresh)).die()
        await world.settle()
    world.clock.advance(seconds=1)
    next(iter(world.alive)).die()
    await world.settle()
    assert world.keeper.rest == Policy().backoff_first


def _worker_of(incarnation: Incarnation) -> object:
    return incarnation._worker


# -- ends ------------------------------------------------------------------------------------------------------------


def execution() -> Execution:
    now = datetime.now(UTC)
    return Execution("x-1", "churn", "churn", "1.0.0", "execute", "test", ExecutionState.RUNNING, now)


async def test_what_crashes_in_the_work_that_a_stop_waits_for_is_told_as_a_crash(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def until_its_link_is_lost(link: FakeLink, _execution: Execution, _timeout: timedelta) -> TaskOutcome:
        assert link.worker is not None
        await link.worker.wait()
        return TaskOutcome(ExecutionState.CRASHED)

    monkeypatch.setattr(FakeLink, "run", until_its_link_is_lost)
    async with world.keeper.session() as incarnation:
        running = asyncio.ensure_future(incarnation.run_task(execution(), timedelta(minutes=1)))
        await world.settle()
        stopping = asyncio.ensure_future(world.keeper.stop("a person asked for it"))
        await world.settle()
        next(iter(world.alive)).die()
        outcome = await running
    assert (outcome.state, outcome.error and outcome.error.message) == (ExecutionState.CRASHED, CRASH.sentence)
    assert (await incarnation.wait()).kind is CRASH.kind
    await stopping
    assert not world.keeper.wanted


async def test_a_worker_that_goes_during_a_stop_without_work_was_stopped_as_planned(world: World) -> None:
    incarnation = await use(world)
    await asyncio.gather(world.keeper.stop("a person asked for it"), *(worker.wait() for worker in world.alive))
    assert (await incarnation.wait()).planned


async def test_a_store_that_does_not_answer_keeps_nobody_waiting_for_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation_module, "_WRITE_SECONDS", 0.02)
    incarnation = await use(world)
    answers = asyncio.Event()
    told = world.changed

    async def hangs(transition: Transition) -> None:
        await answers.wait()
        await told(transition)

    monkeypatch.setattr(incarnation, "_on_change", hangs)
    async with asyncio.timeout(2):
        await world.keeper.stop("a person asked for it")
    assert world.states[-1] is IncarnationState.READY
    answers.set()
    await world.settle()
    assert world.states[-2:] == [IncarnationState.DRAINING, IncarnationState.STOPPED]


async def test_an_end_that_cannot_be_cleared_away_is_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    incarnation = await use(world)

    async def broken(_self: object) -> Verdict:
        raise OSError("a read-only file system")

    monkeypatch.setattr(FakeWorker, "wait", broken)
    async with asyncio.timeout(2):
        await world.keeper.kill("by a test")
        assert (await incarnation.wait()).planned
    world.links.clear()


async def test_a_sandbox_that_is_not_made_in_time_is_not_the_plugins_doing(world_of: MakeWorld) -> None:
    world = world_of(start_timeout=timedelta(seconds=0.02))
    world.may_launch.clear()
    with pytest.raises(StartFailed, match="nothing of the plugin has run") as failed:
        await use(world)
    assert failed.value.verdict.kind is VerdictKind.SANDBOX_FAILED
    world.may_launch.set()
    world.may_load.clear()
    world.clock.advance(seconds=1)
    with pytest.raises(StartFailed) as failed:
        await use(world)
    assert failed.value.verdict.kind is VerdictKind.START_DEADLINE


async def test_grants_that_change_in_a_reload_count_for_each_version_as_it_asked(world: World) -> None:
    old = await use(world)
    manifest = replace(installation().manifest, version="2.0.0")
    target = replace(installation(), manifest=manifest)
    told: dict[str, Grants] = {}

    def note(link: FakeLink, grants: Grants) -> None:
        told[link.incarnation] = grants

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeLink, "set_grants", note)
        world.may_load.clear()
        preparing = asyncio.ensure_future(world.keeper.prepare(target))
        await world.until(lambda: world.made == 2)
        assert world.keeper.manifests == (installation().manifest, manifest)
        both = [Grants((parse(text),), epoch=7) for text in ("sql.read:users", "sql.read:plays")]
        world.keeper.set_grants(list(zip(world.keeper.manifests, both, strict=True)))
        # What was asked before and comes after is older.
        world.keeper.set_grants([(installation().manifest, Grants((), epoch=6)), (manifest, Grants((), epoch=6))])
        world.may_load.set()
        fresh = await preparing
        await world.settle()
    assert told == {old.id: both[0], fresh.id: both[1]}
    await fresh.stop("the test is over")


async def test_a_store_that_fails_is_told_to_persons_and_waited_for_by_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_self: World, _commission: object) -> Incarnation:
        raise StoreFailed("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(world.keeper, "_means", replace(world.keeper._means, make=fails.__get__(world)))
        work, person = asyncio.ensure_future(use(world)), asyncio.ensure_future(world.keeper.start())
        with pytest.raises(StoreFailed):
            await person
        await world.settle()
        assert not work.done()
    world.clock.advance(seconds=1)
    assert (await work).ready
