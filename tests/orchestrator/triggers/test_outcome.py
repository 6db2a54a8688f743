"""Outcomes of other executions as triggers, over the real store."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import pytest
from source_doors import BookDoor

from moorage.events.bus import EventBus
from moorage.events.events import ExecutionEnded
from moorage.models.execution import Execution, ExecutionError, ExecutionState
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.trigger import Declaration
from moorage.orchestrator.triggers.outcome import LATE, MAX_DEPTH, POLL, SAVE, OutcomeSource
from moorage.store.outcomes import Followed
from moorage_sdk import messages

FOLLOWER = "churn/report"


class World:
    def __init__(self, store, clock) -> None:
        self.store = store
        self.clock = clock
        self.events = EventBus()
        self.door = BookDoor(now=clock.now)
        self._numbers = 0

    async def declare(self, trigger: str = FOLLOWER) -> None:
        declared = Trigger("outcome", "etl/*", "report", name=trigger.rpartition("/")[2])
        await self.store.triggers.put(Declaration(trigger, declared, Origin.MANIFEST, "churn"))

    async def ended(self, *, announced: bool = True, late: timedelta = timedelta(0), **values) -> Execution:
        """Of etl, unless ``values`` say so; ``announced``: it ended in this host."""
        self._numbers += 1
        values = {
            "installation": "etl",
            "plugin": "etl",
            "version": "1.0",
            "task": "load",
            "trigger": "cron",
            "state": ExecutionState.SUCCEEDED,
            "queued_at": self.clock.now(),
            "ended_at": self.clock.now() - late,
            "result": {"rows": self._numbers},
            **values,
        }
        execution = Execution(id=f"e-{self._numbers:04}", **values)
        await self.store.executions.create(execution)
        if announced:
            self.events.announce(ExecutionEnded(execution.installation, execution))
        return execution

    @contextlib.asynccontextmanager
    async def listening(self, followed: str = "etl", on=(), *, door: BookDoor | None = None):
        source = OutcomeSource(
            FOLLOWER, followed, on, self.store.outcomes, self.store.executions.get, self.events, clock=self.clock
        )
        task = asyncio.create_task(source.run(door or self.door))
        await self.asleep()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait((task,), timeout=5)

    async def brought(self, *executions: Execution, door: BookDoor | None = None) -> None:
        """Exactly these, after all that could come has come."""
        found = door or self.door
        await found.until(lambda: len(found.runs) >= len(executions), 5)
        await self.poll()
        assert sorted(signal.key for signal in found.runs) == [each.id for each in executions]

    async def poll(self) -> None:
        """Another look of the source at the store is over."""
        await self.asleep()
        self.clock.advance(seconds=POLL.total_seconds())
        await self.asleep()

    async def asleep(self) -> None:
        """The source waits for the time of its next look."""
        async with asyncio.timeout(5):
            while not self.clock.pending:
                await asyncio.sleep(0.001)


@pytest.fixture
async def world(store, clock):
    made = World(store, clock)
    await made.declare()
    yield made
    await made.door.close()


async def test_what_succeeds_is_followed_at_once_and_once(world):
    async with world.listening():
        execution = await world.ended()
        await world.brought(execution)
    message = messages.brought(world.door.inputs[0])
    assert isinstance(message, messages.Ended)
    assert (message.installation, message.execution, message.state) == ("etl", "e-0001", "succeeded")
    assert (message.result, message.error, message.chain) == ({"rows": 1}, "", [])


async def test_outcomes_of_other_hosts_are_found_in_the_store(world):
    async with world.listening():
        execution = await world.ended(announced=False)
        await world.poll()
        await world.brought(execution)


async def test_nothing_is_missed_while_nobody_listens(world):
    async with world.listening():
        first = await world.ended()
        await world.brought(first)
    world.clock.advance(hours=60)
    second = await world.ended(announced=False)
    world.clock.advance(hours=60)
    third = await world.ended(announced=False)
    again = BookDoor(now=world.clock.now)
    async with world.listening(door=again):
        await again.until(lambda: {second.id, third.id} <= {signal.key for signal in again.runs}, 5)
    # Perhaps the first one, too: a host knows its key, and does not run it again.
    assert {signal.key for signal in again.runs} <= {first.id, second.id, third.id}
    await again.close()


async def test_what_ended_before_the_trigger_was_there_is_none_of_its_business(world):
    await world.ended(announced=False)
    world.clock.advance(seconds=1)
    async with world.listening():
        await world.brought(await world.ended())


async def test_what_is_written_down_late_is_found(world):
    async with world.listening():
        world.clock.advance(minutes=5)
        elsewhere = await world.ended(announced=False, late=LATE / 2)
        here = await world.ended(late=3 * LATE)
        await world.poll()
        await world.brought(elsewhere, here)


async def test_an_outcome_that_is_not_taken_yet_holds_back_how_far_it_is(world):
    world.door.gate.clear()
    async with world.listening():
        await world.ended()
        await world.door.until(lambda: bool(world.door.runs))
        began = world.clock.now()
        for _ in range(2):
            world.clock.advance(seconds=SAVE.total_seconds())
            await world.poll()
        assert await world.store.outcomes.follow(FOLLOWER, world.clock.now()) == Followed(began, began)
        world.door.gate.set()
        await world.door.until(lambda: bool(world.door.told))
        world.clock.advance(seconds=SAVE.total_seconds())
        await world.poll()
        assert (await world.store.outcomes.follow(FOLLOWER, world.clock.now())).until > began


@pytest.mark.parametrize(
    ("followed", "fits"),
    [
        ("etl", True),
        ("etl/load", True),
        ("etl/*", True),
        ("*", True),
        ("e*/l*", True),
        ("etl/other", False),
        ("et", False),
    ],
)
async def test_which_executions(world, followed, fits):
    async with world.listening(followed, on=["succeeded"]):
        execution = await world.ended()
        await world.poll()
        await world.brought(*([execution] if fits else []))


async def test_which_outcomes(world):
    async with world.listening(on=["failed", "timed_out"]):
        await world.ended()
        failed = await world.ended(
            state=ExecutionState.FAILED, error=ExecutionError("LookupError", "no users"), result=None
        )
        await world.brought(failed)
    assert (world.door.inputs[0]["error_type"], world.door.inputs[0]["error"]) == ("LookupError", "no users")


async def test_it_does_not_follow_what_it_has_started_itself(world):
    async with world.listening("*"):
        await world.ended(installation="churn", task="report", trigger="outcome", trigger_id=FOLLOWER)
        other = await world.ended(installation="churn", task="report", trigger="outcome", trigger_id="churn/other")
        await world.brought(other)


async def test_a_circle_ends(world, caplog):
    before = {"chain": ["etl/first"]}
    async with world.listening():
        follows = await world.ended(trigger="outcome", trigger_id="etl/load", input=before)
        await world.ended(trigger="outcome", trigger_id="etl/load", input={"chain": [FOLLOWER]})
        retried = await world.ended(trigger="manual", retry_of="e-1", input={"chain": [FOLLOWER]})
        own_input = await world.ended(trigger="manual", input={"chain": [FOLLOWER]})
        await world.brought(follows, own_input)
    assert [one["chain"] for one in world.door.inputs] == [["etl/first", "etl/load"], []]
    assert "in a circle, or in too long a row: churn/report, etl/load." in caplog.text
    assert retried.id in caplog.text


async def test_a_long_row_ends(world, caplog):
    row = [f"etl/{number}" for number in range(MAX_DEPTH)]
    async with world.listening():
        last = await world.ended(trigger="outcome", trigger_id="etl/last", input={"chain": row[2:]})
        await world.ended(trigger="outcome", trigger_id="etl/last", input={"chain": row[1:]})
        await world.brought(last)
    assert len(world.door.inputs) == 1
    assert "in too long a row" in caplog.text


async def test_no_more_are_in_the_door_than_it_has_slots(world):
    world.door.slots = 2
    world.door.gate.clear()
    async with world.listening():
        executions = [await world.ended(announced=number % 2 == 0) for number in range(9)]
        await world.door.until(lambda: len(world.door.runs) == 2)
        world.door.gate.set()
        world.clock.advance(seconds=POLL.total_seconds())
        await world.door.until(lambda: len(world.door.runs) == len(executions))
    assert world.door.most_at_once == 2


async def test_a_trigger_that_is_removed_forgets_how_far_it_was(world, clock):
    first = await world.store.outcomes.follow(FOLLOWER, clock.now())
    clock.advance(seconds=60)
    assert await world.store.outcomes.follow(FOLLOWER, clock.now()) == first
    await world.store.triggers.declare([], origins=[Origin.MANIFEST])
    await world.declare()
    assert (await world.store.outcomes.follow(FOLLOWER, clock.now())).since == clock.now()
