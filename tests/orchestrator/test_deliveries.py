"""Events on their way to handlers: their order, what is lost, and who is not asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from moorage.models.contributions import Contributions
from moorage.models.event import HandlerView, PluginEvent
from moorage.models.execution import ExecutionError, ExecutionState, TaskOutcome
from moorage.orchestrator import deliveries as delivering
from moorage.orchestrator.deliveries import Deliveries
from moorage.supervisor.errors import NotRunnable
from moorage_proto.capability import Capability, Grants, parse
from moorage_proto.errors import CallError, Reason

DEADLINE_SECONDS = 10
GRANTS = Grants((parse("events.subscribe:**"), parse("events.reply:**")))


def event(topic: str = "track.playing", number: int = 0) -> PluginEvent:
    return PluginEvent(f"ev-{number}", topic, "player", datetime.now(UTC), number)


class Listening:
    def __init__(self, *names: str, fresh: bool = False) -> None:
        self.names, self.fresh = list(names), fresh

    async def of(self, event: PluginEvent, *, verb: str) -> list[str]:
        return self.names

    def known(self, event: PluginEvent, *, verb: str) -> list[str] | None:
        return self.names if self.fresh else None


class Workers:
    """One worker for every installation, which the test can hold up."""

    def __init__(self, *handlers: HandlerView) -> None:
        self.contributions = Contributions(handlers=handlers)
        self.grants = GRANTS
        self.handled: list[tuple[str, str, PluginEvent]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.entered = asyncio.Event()
        self.raises: Exception | None = None
        self.outcome = TaskOutcome(ExecutionState.SUCCEEDED, result="reply")
        self._name = ""
        #: To how many it has been lent.
        self.lent = 0

    def uses(self, need: Capability) -> bool:
        return self.grants.decide(need).allowed

    @asynccontextmanager
    async def session(self, installation: str) -> AsyncIterator[Workers]:
        self.entered.set()
        if self.raises is not None:
            raise self.raises
        self._name = installation
        self.lent += 1
        yield self

    async def handle(self, handler: str, event: PluginEvent, timeout: timedelta) -> TaskOutcome:
        await self.may_go_on.wait()
        self.handled.append((self._name, handler, event))
        return self.outcome


@pytest.fixture
def told() -> list[str]:
    return []


def made(workers: Workers, told: list[str], *names: str, fresh: bool = False) -> Deliveries:
    return Deliveries(
        Listening(*names, fresh=fresh), workers, lambda name, event, sentence: told.append(f"{name}: {sentence}")
    )


TRACKS = HandlerView("tracks", "track.*", replies=False)
ASKED = HandlerView("asked", "track.*", replies=True)


async def settle(deliveries: Deliveries) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await deliveries.settled()


async def test_each_handler_that_matches_is_called_in_order(told: list[str]) -> None:
    workers = Workers(TRACKS, HandlerView("all", "**", replies=False), HandlerView("x", "x", replies=False), ASKED)
    deliveries = made(workers, told, "churn")
    for number in range(3):
        deliveries.offer(event(number=number))
    await settle(deliveries)
    assert [(handler, each.data) for _, handler, each in workers.handled] == [
        (handler, number) for number in range(3) for handler in ("tracks", "all")
    ]
    assert told == []


async def test_one_that_does_not_keep_up_loses_the_oldest_and_is_told(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "CAPACITY", 2)
    workers = Workers(TRACKS)
    workers.may_go_on.clear()
    deliveries = made(workers, told, "churn")
    deliveries.offer(event(number=0))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await workers.entered.wait()
    for number in range(1, 6):
        deliveries.offer(event(number=number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    workers.may_go_on.set()
    await settle(deliveries)
    assert [(each.data, each.missed) for _, _, each in workers.handled] == [(0, 0), (4, 3), (5, 0)]


@pytest.mark.parametrize("bound", ["CAPACITY", "CAPACITY_BYTES"])
@pytest.mark.parametrize("fresh", [True, False], ids=["known listeners", "listeners to be read"])
async def test_one_that_floods_displaces_itself(
    told: list[str], monkeypatch: pytest.MonkeyPatch, bound: str, fresh: bool
) -> None:
    monkeypatch.setattr(delivering, bound, {"CAPACITY": 4, "CAPACITY_BYTES": 400}[bound])
    workers = Workers(TRACKS)
    workers.may_go_on.clear()
    deliveries = made(workers, told, "churn", fresh=fresh)
    quiet = replace(event(number=-1), source="quiet", size_bytes=100)
    for number in range(50):
        deliveries.offer(replace(event(number=number), source="flood", size_bytes=100))
        if number == 10:
            deliveries.offer(quiet)
    workers.may_go_on.set()
    await settle(deliveries)
    numbers = [each.data for _, _, each in workers.handled]
    assert -1 in numbers
    assert numbers[-1] == 49
    assert len(numbers) <= 5
    assert sum(each.missed for _, _, each in workers.handled) == 51 - len(numbers)


async def test_those_who_are_known_to_listen_get_it_at_once_in_order(told: list[str]) -> None:
    """More than would wait for the table of listeners."""
    workers = Workers(TRACKS)
    deliveries = made(workers, told, fresh=True)
    for number in range(1000):
        deliveries.offer(replace(event("nobody.listens", number), source="flood"))
    deliveries = made(workers, told, "churn", fresh=True)
    for number in range(delivering.CAPACITY):
        deliveries.offer(event(number=number))
    await settle(deliveries)
    assert [(each.data, each.missed) for _, _, each in workers.handled] == [
        (number, 0) for number in range(delivering.CAPACITY)
    ]


async def test_one_that_asks_much_keeps_nobody_else_from_asking(told: list[str]) -> None:
    workers = Workers(ASKED)
    workers.may_go_on.clear()
    deliveries = made(workers, told, "b")
    asking = [
        asyncio.create_task(deliveries.reply(replace(event(number=number), source="flood"), DEADLINE_SECONDS))
        for number in range(100)
    ]
    quiet = asyncio.create_task(deliveries.reply(replace(event(number=-1), source="quiet"), DEADLINE_SECONDS))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while workers.lent < delivering.MAX_ASKED + 1:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert workers.lent == delivering.MAX_ASKED + 1
        workers.may_go_on.set()
        await asyncio.gather(quiet, *asking)
    assert len(workers.handled) == 101
    assert -1 in [each.data for _, _, each in workers.handled[: delivering.MAX_ASKED + 1]]


async def test_one_that_hangs_holds_up_nobody_else(told: list[str]) -> None:
    workers = Workers(TRACKS)
    workers.may_go_on.clear()
    slow = made(workers, told, "slow")
    slow.offer(event())
    quick_workers = Workers(TRACKS)
    quick = made(quick_workers, told, "quick")
    quick.offer(event())
    await settle(quick)
    assert len(quick_workers.handled) == 1
    workers.may_go_on.set()
    await settle(slow)


async def test_a_right_that_the_worker_has_not_is_looked_at_again(told: list[str]) -> None:
    workers = Workers(TRACKS)
    workers.grants = Grants((parse("events.subscribe:other"),))
    deliveries = made(workers, told, "churn")
    deliveries.offer(event())
    await settle(deliveries)
    assert workers.handled == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotRunnable("churn", "it is disabled"), []),
        (RuntimeError("no memory"), ["churn: The event track.playing was not delivered: no memory"]),
    ],
)
async def test_one_that_cannot_be_started_loses_it(told: list[str], error: Exception, expected: list[str]) -> None:
    workers = Workers(TRACKS)
    workers.raises = error
    deliveries = made(workers, told, "churn")
    deliveries.offer(event())
    await settle(deliveries)
    assert told == expected
    workers.raises = None
    deliveries.offer(event(number=1))
    await settle(deliveries)
    assert [each.data for _, _, each in workers.handled] == [1]


async def test_a_failed_handler_is_told_and_the_next_is_called(told: list[str]) -> None:
    workers = Workers(TRACKS, HandlerView("all", "**", replies=False))
    workers.outcome = TaskOutcome(ExecutionState.FAILED, error=ExecutionError("ValueError", "no"))
    deliveries = made(workers, told, "churn")
    deliveries.offer(event())
    await settle(deliveries)
    assert told == ["churn: The handler 'tracks' failed: no", "churn: The handler 'all' failed: no"]


async def test_after_the_stop_nothing_is_delivered(told: list[str]) -> None:
    workers = Workers(TRACKS)
    workers.may_go_on.clear()
    deliveries = made(workers, told, "churn")
    deliveries.offer(event(number=0))
    deliveries.offer(event(number=1))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await workers.entered.wait()
    deliveries.stop()
    deliveries.offer(event(number=2))
    workers.may_go_on.set()
    await settle(deliveries)
    assert [each.data for _, _, each in workers.handled] == [0]


async def test_the_first_that_replies_is_asked(told: list[str]) -> None:
    workers = Workers(ASKED)
    reply = await made(workers, told, "b", "c").reply(event(), 5)
    assert reply is not None
    assert (reply.data, reply.source) == ("reply", "b")
    assert await made(Workers(TRACKS), told, "b").reply(event(), 5) is None
    assert await made(workers, told).reply(event(), 5) is None


@pytest.mark.parametrize(
    ("state", "reason"),
    [(ExecutionState.FAILED, Reason.BACKEND_FAILED), (ExecutionState.TIMED_OUT, Reason.DEADLINE_EXCEEDED)],
)
async def test_what_became_of_a_reply_is_told_without_its_reason(
    told: list[str], state: ExecutionState, reason: int
) -> None:
    workers = Workers(ASKED)
    workers.outcome = TaskOutcome(state, error=ExecutionError("ValueError", "the secret"))
    with pytest.raises(CallError) as failed:
        await made(workers, told, "b").reply(event(), 5)
    assert failed.value.reason == reason
    assert "the secret" not in failed.value.message
    assert "the secret" in told[0]


async def test_one_that_does_not_reply_in_time_is_given_up(told: list[str]) -> None:
    workers = Workers(ASKED)
    workers.may_go_on.clear()
    with pytest.raises(CallError, match=r"Nobody has replied to track\.playing within 0\.01 s") as failed:
        await made(workers, told, "b").reply(event(), 0.01)
    assert failed.value.reason == Reason.DEADLINE_EXCEEDED
