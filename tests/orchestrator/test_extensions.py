"""Calls of plugins at extension points, over workers that the test plays, with a clock that it moves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from fake_clock import FakeClock

from moorage.models.contributions import Contributions
from moorage.models.execution import ExecutionError, ExecutionState, TaskOutcome
from moorage.models.extensions import (
    CallLimits,
    Extension,
    ExtensionCall,
    FailureKind,
)
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Manifest
from moorage.orchestrator import extension_call
from moorage.orchestrator.extension_call import SMALL_BYTES, Answered, Call
from moorage.orchestrator.extension_errors import ExtensionFailed, ExtensionPointUnknown, ExtensionsStopped
from moorage.orchestrator.extension_views import ExtensionViews
from moorage.orchestrator.extensions import ExtensionPoints
from moorage.orchestrator.implementers import Implementer
from moorage.orchestrator.standing import Judge
from moorage.store.errors import InstallationUnknown, StoreFailed
from moorage.supervisor.errors import NotRunnable, StartFailed
from moorage_proto.capability import Capability, Grants, parse
from moorage_proto.typed import ValueUnfit, extension_point
from moorage_proto.typed.extension import Point, point_of

DEADLINE_SECONDS = 10
SECOND = timedelta(seconds=1)
RIGHT = "extensions.implement:shop.*"


@dataclass
class Basket:
    total: int
    notes: list[str] = field(default_factory=list)


@extension_point("shop.discount", version=2, compatible=(1,))
class Discount(Protocol):
    async def discount(self, basket: Basket, coupon: str = "") -> int | None: ...

    def labels(self) -> list[str]: ...

    def size(self) -> int: ...


@extension_point("shop.discount", version=1)
class Older(Protocol):
    def discount(self, basket: Basket) -> int | None: ...


@extension_point("shop.discount", version=7)
class Newer(Protocol):
    def discount(self, basket: Basket) -> int | None: ...


@extension_point("shop.unheard", version=1)
class Unheard(Protocol):
    def hear(self) -> None: ...


def compiled(class_: type) -> Point:
    point = point_of(class_)
    assert point is not None
    return point


def implementing(class_: type) -> Extension:
    point = compiled(class_)
    return Extension(point.name, point.version, tuple(point.methods), point.contract.file)


CURRENT, OLD = implementing(Discount), implementing(Older)

#: What a worker does when it is called.
Behaviour = Callable[[ExtensionCall], Awaitable[TaskOutcome]]


def answers(value: int | None) -> Behaviour:
    async def behave(call: ExtensionCall) -> TaskOutcome:
        reply = compiled(Discount).methods[call.method].reply(value).SerializeToString()
        return TaskOutcome(ExecutionState.SUCCEEDED, reply)

    return behave


def ends(state: ExecutionState, message: str = "It broke.") -> Behaviour:
    async def behave(_: ExtensionCall) -> TaskOutcome:
        return TaskOutcome(state, error=ExecutionError("ValueError", message, "Traceback: here"))

    return behave


def sends(data: bytes) -> Behaviour:
    async def behave(_: ExtensionCall) -> TaskOutcome:
        return TaskOutcome(ExecutionState.SUCCEEDED, data)

    return behave


@dataclass
class Worker:
    behave: Behaviour
    extensions: tuple[Extension, ...] = (CURRENT,)
    #: Of the worker's own; what is known outside may be older.
    may: bool = True
    #: Raised where it is asked for.
    raises: Exception | None = None
    calls: list[ExtensionCall] = field(default_factory=list)
    cancelled: int = 0
    at_once: int = 0
    most_at_once: int = 0

    @property
    def contributions(self) -> Contributions:
        return Contributions(extensions=self.extensions)

    def uses(self, need: Capability) -> bool:
        return self.may and str(need) == "extensions.implement:shop.discount"

    async def call_extension(self, call: ExtensionCall, timeout: timedelta) -> TaskOutcome:
        self.calls.append(call)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            return await self.behave(call)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1


class World:
    """Installations, each with one worker."""

    def __init__(self, **workers: Worker) -> None:
        self.workers = workers
        self.clock = FakeClock()
        self.told: list[str] = []
        self.known = {name: self._implementer(name) for name in sorted(workers)}
        self.not_ready: set[str] = set()
        self.judge = Judge([compiled(Discount)])
        self.points = ExtensionPoints(
            self.judge,
            self,  # type: ignore[arg-type]  # as far as it is asked
            self,
            limits=CallLimits(timeout=5 * SECOND, at_once=2),
            clock=self.clock,
            tell=lambda method, failure: self.told.append(f"{method} {failure}"),
            ready=lambda name: name not in self.not_ready,
        )
        self.views = ExtensionViews(self.judge, self, self.points.counter)  # type: ignore[arg-type]

    def _implementer(self, name: str) -> Implementer:
        manifest = Manifest(name, "1.0.0", "x:y")
        where = Path("/nowhere")
        installation = Installation(name, manifest, where, where, "", ("",), "", desired=DesiredState())
        return Implementer(installation, Grants((parse(RIGHT),)), self.workers[name].extensions)

    async def all(self) -> list[Implementer]:
        return list(self.known.values())

    async def of(self, point: str) -> list[str]:
        return [name for name, each in self.known.items() if each.granted(point)]

    @asynccontextmanager
    async def session(self, name: str) -> AsyncIterator[Worker]:
        worker = self.workers[name]
        if isinstance(worker.raises, asyncio.TimeoutError):
            await asyncio.Event().wait()
        if worker.raises is not None:
            raise worker.raises
        yield worker

    async def after(self, work: Awaitable[Any], seconds: float) -> Any:
        """What it comes to when so much time has passed under it."""
        task = asyncio.ensure_future(work)
        await self.settle()
        assert not task.done()
        self.clock.advance(seconds=seconds)
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await task

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def end(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.points.settled()
        assert self.clock.pending == 0


async def hangs(_: ExtensionCall) -> TaskOutcome:
    await asyncio.Event().wait()
    raise AssertionError


async def stubborn(_: ExtensionCall) -> TaskOutcome:
    """Takes a while to be cancelled; nobody waits for that."""
    try:
        await asyncio.Event().wait()
    finally:
        for _ in range(100):
            await asyncio.sleep(0)
    raise AssertionError


BASKET = (Basket(100),)


async def test_answers_and_failures_come_apart_in_the_order_of_names() -> None:
    world = World(
        cheap=Worker(answers(5)),
        broken=Worker(ends(ExecutionState.FAILED, "No.")),
        apt=Worker(answers(7)),
        crashed=Worker(ends(ExecutionState.CRASHED, "The worker exited with code 3.")),
        none=Worker(answers(None)),
    )
    found = await world.points.call_all(Discount.discount, BASKET)
    assert list(found.by_installation.items()) == [("apt", 7), ("cheap", 5), ("none", None)]
    assert found.values == [7, 5, None]
    assert [(each.installation, each.kind, each.sentence) for each in found.failures] == [
        ("broken", FailureKind.FAILED, "No."),
        ("crashed", FailureKind.CRASHED, "The worker exited with code 3."),
    ]
    assert found.failures[0].error_type == "ValueError"
    assert found.failures[0].traceback == "Traceback: here"
    assert world.told == [
        "shop.discount.discount broken: No.",
        "shop.discount.discount crashed: The worker exited with code 3.",
    ]
    await world.end()


async def test_the_arguments_cross_as_the_contract_says() -> None:
    worker = Worker(answers(1))
    world = World(churn=worker)
    await world.points.call_all(Discount.discount, (Basket(3, ["a"]), "X"))
    (call,) = worker.calls
    assert (call.point, call.version, call.method) == ("shop.discount", 2, "discount")
    method = compiled(Discount).methods["discount"]
    arguments = method.arguments(method.method.request.FromString(call.arguments))
    assert arguments == {"basket": Basket(3, ["a"]), "coupon": "X"}
    await world.end()


@pytest.mark.parametrize("hanging", [hangs, stubborn])
async def test_one_that_hangs_delays_nobody_past_the_deadline(hanging: Behaviour) -> None:
    hung = Worker(hanging)
    world = World(apt=Worker(answers(7)), hung=hung)
    found = await world.after(world.points.call_all(Discount.discount, BASKET, timeout=SECOND / 5), 0.2)
    assert found.values == [7]
    (failure,) = found.failures
    assert (failure.installation, failure.kind) == ("hung", FailureKind.TIMED_OUT)
    assert failure.sentence == "It has not answered shop.discount.discount within 0.2 s."
    await world.settle()
    await world.end()
    assert hung.cancelled == 1


async def test_there_is_always_a_deadline() -> None:
    world = World(hung=Worker(hangs))
    found = await world.after(world.points.call_all(Discount.discount, BASKET), 5)
    assert [each.kind for each in found.failures] == [FailureKind.TIMED_OUT]
    await world.end()


async def test_a_worker_that_does_not_come_up_in_time_is_not_ready() -> None:
    world = World(slow=Worker(answers(1), raises=TimeoutError()), apt=Worker(answers(7)))
    found = await world.after(world.points.call_all(Discount.discount, BASKET), 5)
    assert found.values == [7]
    (failure,) = found.failures
    assert failure.kind is FailureKind.NOT_READY
    assert failure.sentence == "It was not asked within 5 s: no worker was ready."
    await world.end()


async def test_a_failed_start_is_a_failure_and_one_that_may_not_run_is_left_out() -> None:
    failed = StartFailed.__new__(StartFailed)
    failed.args = ("churn did not start. It exited.",)
    world = World(
        churn=Worker(answers(1), raises=failed),
        held=Worker(answers(1), raises=NotRunnable("held", "it is held")),
        odd=Worker(answers(1), raises=RuntimeError("a bug")),
    )
    found = await world.points.call_all(Discount.discount, BASKET)
    assert found.values == []
    assert [(each.installation, each.kind, each.sentence) for each in found.failures] == [
        ("churn", FailureKind.NOT_READY, "churn did not start. It exited."),
        ("odd", FailureKind.NOT_READY, "The host failed to call it: RuntimeError."),
    ]
    with pytest.raises(ExtensionFailed, match="it is held") as refused:
        await world.points.call_one("held", Discount.discount, BASKET)
    assert refused.value.failure.kind is FailureKind.NOT_CALLED
    await world.end()


async def test_without_starting_only_those_that_are_ready_are_called() -> None:
    world = World(up=Worker(answers(1)), down=Worker(answers(2)))
    world.not_ready = {"down"}
    assert (await world.points.call_all(Discount.discount, BASKET, start=False)).values == [1]
    assert (await world.points.call_all(Discount.discount, BASKET)).by_installation == {"down": 2, "up": 1}
    assert (await world.points.call_all(Discount.discount, BASKET, among=["down"])).values == [2]
    await world.end()


def _many() -> bytes:
    labels = compiled(Discount).methods["labels"]
    return bytes(labels.reply(["x"] * 100_000).SerializeToString())


@pytest.mark.parametrize(
    ("method", "data", "words"),
    [
        (Discount.labels, b"\xff\xff\xff", "it is no message of the contract"),
        (Discount.labels, b"\x0a\x01\xff", "it is no message of the contract"),
        (Discount.size, b"", "result: it is missing"),
        (Discount.labels, b"\x0a\x02\x08\x01" * 300_000, "it takes 1,200,000 bytes, and at most 1,048,576 are taken"),
        (Discount.labels, _many() * 3, "the message has more than 250,000 items"),
    ],
    ids=["bytes", "no text", "nothing", "large", "many"],
)
async def test_what_a_hostile_plugin_answers_is_a_failure(method: Any, data: bytes, words: str) -> None:
    world = World(hostile=Worker(sends(data)))
    (failure,) = (await world.points.call_all(method, ())).failures
    assert (failure.installation, failure.kind) == ("hostile", FailureKind.INVALID)
    assert words in failure.sentence
    await world.end()


async def test_a_large_answer_that_fits_is_taken() -> None:
    world = World(churn=Worker(sends(_many())))
    assert (await world.points.call_all(Discount.labels, ())).values == [["x"] * 100_000]
    await world.end()


async def test_the_first_that_is_an_answer_is_enough() -> None:
    slow = Worker(hangs)
    world = World(
        broken=Worker(ends(ExecutionState.FAILED)), nothing=Worker(answers(None)), apt=Worker(answers(0)), slow=slow
    )
    found = await world.points.call_first(Discount.discount, BASKET)
    assert (found.value, found.installation) == (0, "apt")
    assert [each.installation for each in found.failures] == ["broken"]
    await world.settle()
    assert slow.cancelled == 1
    await world.end()
    assert world.points.counter.of("shop.discount", "slow").failures == 0


async def test_nobodys_answer_is_none_and_says_who_failed() -> None:
    world = World(broken=Worker(ends(ExecutionState.FAILED)), nothing=Worker(answers(None)), hung=Worker(hangs))
    found = await world.after(world.points.call_first(Discount.discount, BASKET), 5)
    assert (found.value, found.installation) == (None, "")
    assert [(each.installation, each.kind.value) for each in found.failures] == [
        ("broken", "failed"),
        ("hung", "timed_out"),
    ]
    assert (await World().points.call_first(Discount.discount, BASKET)).failures == ()
    await world.end()


async def test_one_is_asked_and_what_it_fails_with_is_raised() -> None:
    world = World(apt=Worker(answers(7)), broken=Worker(ends(ExecutionState.FAILED, "No.")))
    assert await world.points.call_one("apt", Discount.discount, BASKET) == 7
    with pytest.raises(ExtensionFailed, match=r"broken has not answered shop\.discount\.discount\. No\.") as failed:
        await world.points.call_one("broken", Discount.discount, BASKET)
    assert failed.value.failure.kind is FailureKind.FAILED
    with pytest.raises(InstallationUnknown):
        await world.points.call_one("nobody", Discount.discount, BASKET)
    await world.end()


async def test_a_caller_that_leaves_cancels_what_it_has_called() -> None:
    hung, other = Worker(hangs), Worker(stubborn)
    world = World(hung=hung, other=other)
    task = asyncio.create_task(world.points.call_all(Discount.discount, BASKET))
    await world.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.end()
    assert (hung.cancelled, other.cancelled) == (1, 1)
    assert world.told == []
    assert world.points.counter.of("shop.discount", "hung").failures == 0


async def test_an_old_version_is_called_as_far_as_it_goes_and_others_are_not() -> None:
    world = World(
        old=Worker(answers(3), (OLD,)),
        new=Worker(answers(4), (implementing(Newer),)),
        both=Worker(answers(5), (OLD, CURRENT)),
        other=Worker(answers(6), (implementing(Unheard),)),
    )
    found = await world.points.call_all(Discount.discount, BASKET)
    assert found.by_installation == {"both": 5, "old": 3}
    assert world.workers["old"].calls[0].version == 1
    assert world.workers["both"].calls[0].version == 2
    with pytest.raises(ExtensionFailed, match=r"It implements version 1, which has no shop\.discount\.labels"):
        await world.points.call_one("old", Discount.labels, ())
    with pytest.raises(ExtensionFailed, match=r"It implements no version of shop\.discount\.discount that this host"):
        await world.points.call_one("new", Discount.discount, BASKET)
    await world.end()


async def test_the_grants_of_the_worker_itself_decide() -> None:
    world = World(churn=Worker(answers(1), may=False))
    assert (await world.points.call_all(Discount.discount, BASKET)).values == []
    with pytest.raises(ExtensionFailed, match=r"moorage grant churn 'extensions\.implement:shop\.discount'"):
        await world.points.call_one("churn", Discount.discount, BASKET)
    world.known["churn"].grants = Grants()
    assert world.workers["churn"].calls == []
    (shown,) = (await world.views.points())[0].implementations
    assert shown.standing == "not granted"
    await world.end()


async def test_calls_of_one_installation_are_bounded_and_wait_within_their_time() -> None:
    go_on = asyncio.Event()

    async def waits(call: ExtensionCall) -> TaskOutcome:
        await go_on.wait()
        return await answers(1)(call)

    worker = Worker(waits)
    world = World(churn=worker)
    calls = [asyncio.create_task(world.points.call_all(Discount.discount, BASKET)) for _ in range(3)]
    late = asyncio.create_task(world.points.call_all(Discount.discount, BASKET, timeout=SECOND))
    await world.settle()
    assert worker.most_at_once == 2
    world.clock.advance(seconds=1)
    (failure,) = (await late).failures
    assert failure.kind is FailureKind.NOT_READY
    assert "busy with as many other calls" in failure.sentence
    go_on.set()
    assert [each.values for each in await asyncio.gather(*calls)] == [[1], [1], [1]]
    assert worker.most_at_once == 2
    await world.end()


async def test_what_is_wrong_with_the_call_itself_is_raised() -> None:
    world = World(churn=Worker(answers(1)))
    with pytest.raises(ValueUnfit, match="basket: an object of type Basket was wanted"):
        await world.points.call_all(Discount.discount, ("all of it",))
    with pytest.raises(TypeError, match="cannot be called like this"):
        await world.points.call_all(Discount.discount, ())
    with pytest.raises(ValueUnfit, match="the arguments: they take"):
        await world.points.call_all(Discount.discount, (Basket(1, ["x" * 2_000_000]),))
    with pytest.raises(ExtensionPointUnknown, match=r"Host\(\.\.\., extension_points=\[Unheard\]\)"):
        await world.points.call_all(Unheard.hear, ())
    with pytest.raises(ExtensionPointUnknown, match="no method of an extension point"):
        await world.points.call_all(answers, ())
    world.points.stop()
    with pytest.raises(ExtensionsStopped, match="the host stops"):
        await world.points.call_all(Discount.discount, BASKET)
    assert world.workers["churn"].calls == []


async def test_calls_and_failures_are_counted_and_shown() -> None:
    world = World(
        apt=Worker(answers(1)),
        broken=Worker(ends(ExecutionState.FAILED, "No.")),
        old=Worker(answers(2), (OLD, implementing(Unheard))),
        unseen=Worker(answers(3)),
    )
    world.known["unseen"].extensions = None
    for _ in range(3):
        await world.points.call_all(Discount.discount, BASKET, among=["apt", "broken", "old"])
    (point,) = await world.views.points()
    assert (point.name, point.version, point.compatible, point.methods) == (
        "shop.discount", 2, (1,), ("discount", "labels", "size"),
    )  # fmt: skip
    rows = [
        (each.installation, each.version, each.standing.value, each.counts.calls, each.counts.failures)
        for each in point.implementations
    ]
    assert rows == [
        ("apt", 2, "current", 3, 0),
        ("broken", 2, "current", 3, 3),
        ("old", 1, "old", 3, 0),
        ("unseen", 0, "not loaded", 0, 0),
    ]
    broken = point.implementations[1].counts
    assert (broken.last_failure, broken.last_failure_at) == ("No.", world.clock.now())
    of_old = await world.views.of("old")
    assert [(each.point, each.standing.value) for each in of_old] == [
        ("shop.discount", "old"),
        ("shop.unheard", "unknown"),
    ]
    assert "The application has no extension point shop.unheard; there are: shop.discount" in of_old[1].sentence
    del world.known["broken"]
    await world.views.points()
    assert world.points.counter.of("shop.discount", "broken").calls == 0
    await world.end()


async def test_large_answers_of_one_plugin_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a thread of the host's for a while, also after nobody waits for it."""
    inside, most, goes_on = 0, 0, threading.Event()

    def read(call: Call, data: bytes) -> Answered:
        nonlocal inside, most
        inside, most = inside + 1, max(most, inside + 1)
        goes_on.wait(DEADLINE_SECONDS)
        inside -= 1
        return Answered(len(data))

    monkeypatch.setattr(extension_call, "_answer", read)
    large = Worker(sends(bytes(SMALL_BYTES + 1)))
    world = World(large=large)
    first = await world.after(world.points.call_all(Discount.discount, BASKET), 6)
    assert [failure.kind for failure in first.failures] == [FailureKind.TIMED_OUT]
    rest = asyncio.gather(*(world.points.call_one("large", Discount.discount, BASKET) for _ in range(4)))
    await world.settle()
    goes_on.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await rest == [SMALL_BYTES + 1] * 4
    assert most == 1
    await world.end()


async def test_a_store_that_does_not_answer_holds_up_nobody_past_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: str) -> Any:
        await asyncio.Event().wait()

    world = World(one=Worker(answers(1)))
    for name in ("of", "all"):
        monkeypatch.setattr(world, name, away)
    for call in (
        world.points.call_all(Discount.discount, BASKET),
        world.points.call_first(Discount.discount, BASKET),
        world.points.call_one("one", Discount.discount, BASKET),
    ):
        with pytest.raises(StoreFailed, match="5 s"):
            await world.after(call, 5)
    await world.end()


async def test_what_a_failure_says_is_harmless_in_all_its_parts() -> None:
    async def behave(_: ExtensionCall) -> TaskOutcome:
        escape = "\x1b[2J"
        return TaskOutcome(ExecutionState.FAILED, error=ExecutionError(f"Own{escape}", f"No{escape}.", f"At{escape}"))

    world = World(churn=Worker(behave))
    (failure,) = (await world.points.call_all(Discount.discount, BASKET)).failures
    assert failure.error_type.startswith("Own")
    assert "\x1b" not in f"{failure.error_type}{failure.sentence}{failure.traceback}"
    await world.end()
