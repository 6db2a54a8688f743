"""When a worker counts as busy, silent or unhealthy, and when it must go; on a clock of the test's own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.attachment import Health
from moorage.models.health import Condition, ConditionKind
from moorage.models.incarnation import Verdict, VerdictKind
from moorage.supervisor.health import HealthPolicy, HealthWatch, Look, Processing, after, overdue
from moorage.supervisor.observer import processing_of, read_proc, read_processing
from moorage.supervisor.stacks import Stack
from moorage_proto.errors import CallError, Reason, Status

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANSWERING, BUSY, SILENT, UNHEALTHY = ConditionKind
WELL = Condition(ANSWERING, NOON)
POLICY = HealthPolicy(silence_limit=timedelta(seconds=60))
STACK = Stack("Thread 0x1", "geo/index.py:88 build()", "in build(), geo/index.py:88")


class Clock:
    def __init__(self) -> None:
        #: ``stepped``: how far somebody has set the wall clock.
        self.passed = self.stepped = timedelta(0)

    def now(self) -> datetime:
        return NOON + self.passed + self.stepped

    def elapsed(self) -> timedelta:
        return self.passed

    def call_later(self, delay: timedelta, callback: Callable[[], None]) -> None:
        raise AssertionError("these tests look by themselves")


class Worker:
    """Implements Subject. What it does is set by the test; a question that is not answered takes its whole time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.well: Health | CallError | None = Health(healthy=True, message="")
        self.linked = True
        self.cpu_share = 0.0
        self.stopped = self.gone = False
        self.stacks = 0
        self.condemned: list[Verdict] = []
        self._cpu = 0.0

    async def health(self, timeout: timedelta) -> Health:
        if isinstance(self.well, CallError):
            raise self.well
        if self.well is None:
            self._pass(timeout)
            raise CallError(Status.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, "late")
        return self.well

    async def ping(self, timeout: timedelta) -> float:
        if not self.linked:
            self._pass(timeout)
            raise CallError(Status.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, "late")
        return 0.001

    def processing(self) -> Processing:
        if self.gone:
            raise FileNotFoundError
        return Processing(self._cpu, self.stopped)

    async def take_stack(self) -> Stack:
        self.stacks += 1
        return STACK

    async def condemn(self, verdict: Verdict) -> None:
        self.condemned.append(verdict)

    def _pass(self, time: timedelta) -> None:
        self.clock.passed += time
        self._cpu += self.cpu_share * time.total_seconds()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(clock: Clock) -> Worker:
    return Worker(clock)


@pytest.fixture
def changes() -> list[ConditionKind]:
    return []


@pytest.fixture
def watch(worker: Worker, clock: Clock, changes: list[ConditionKind]) -> HealthWatch:
    async def changed(condition: Condition) -> None:
        changes.append(condition.kind)

    return HealthWatch(worker, POLICY, clock, changed)


async def test_a_worker_that_answers_is_not_disturbed(
    watch: HealthWatch, worker: Worker, changes: list[ConditionKind]
) -> None:
    assert await watch.look() is None
    assert watch.condition == WELL
    assert (worker.stacks, changes) == (0, [])


@pytest.mark.parametrize(
    ("share", "linked", "stopped", "kind", "words"),
    [
        (1.0, True, False, BUSY, "Its event loop does not turn; it burns 100% of a CPU."),
        (0.5, False, False, BUSY, "Native code holds the interpreter's lock; it burns 50% of a CPU."),
        (0.0, True, False, SILENT, "Its event loop waits in a call that blocks."),
        (0.0, False, False, SILENT, "Nothing in it answers, and it uses no CPU."),
        (0.0, False, True, SILENT, "The process stands still: a signal stopped it (SIGSTOP)."),
    ],
)
async def test_what_does_not_answer_is_told_apart(
    watch: HealthWatch,
    worker: Worker,
    changes: list[ConditionKind],
    share: float,
    linked: bool,
    stopped: bool,
    kind: ConditionKind,
    words: str,
) -> None:
    worker.well, worker.cpu_share, worker.linked, worker.stopped = None, share, linked, stopped

    assert await watch.look() is None

    assert watch.condition == Condition(kind, NOON, words, STACK.text, STACK.where)
    assert (worker.stacks, changes) == (1, [kind])


async def test_silence_is_counted_from_its_first_look_and_ends_the_worker(
    watch: HealthWatch, worker: Worker, clock: Clock, changes: list[ConditionKind]
) -> None:
    worker.well, worker.cpu_share = None, 1.0
    assert await watch.look() is None
    # It goes from computing to waiting: still not one answer.
    worker.cpu_share = 0.0
    clock.passed = timedelta(seconds=50)
    assert await watch.look() is None
    assert (watch.condition.kind, watch.condition.since) == (SILENT, NOON)

    clock.passed = timedelta(seconds=60)
    verdict = await watch.look()

    assert verdict is not None
    assert (verdict.kind, verdict.stack, verdict.planned) == (VerdictKind.SILENT, STACK.text, False)
    assert verdict.sentence == (
        "It did not answer for 65 s, and the host ended it. Its event loop waits in a call that blocks."
        " It was at geo/index.py:88 build()."
    )
    # One stack when it began, one for the verdict.
    assert (worker.stacks, changes) == (2, [BUSY])


async def test_recovery_is_noticed_and_starts_the_count_anew(
    watch: HealthWatch, worker: Worker, clock: Clock, changes: list[ConditionKind]
) -> None:
    worker.well = None
    await watch.look()
    worker.well = Health(healthy=True, message="")
    clock.passed = timedelta(seconds=55)
    await watch.look()
    assert watch.condition == Condition(ANSWERING, NOON + timedelta(seconds=55))
    worker.well = None
    clock.passed = timedelta(seconds=70)

    assert await watch.look() is None

    assert changes == [SILENT, ANSWERING, SILENT]


async def test_its_own_opinion_is_shown_and_made_harmless(
    watch: HealthWatch, worker: Worker, changes: list[ConditionKind]
) -> None:
    worker.well = Health(healthy=False, message="\x1b[2Jno disk" + "!" * 10_000)
    await watch.look()
    assert watch.condition.kind is UNHEALTHY
    assert watch.condition.message.startswith("\\x1b[2Jno disk!")
    assert len(watch.condition.message) < 600
    assert (worker.stacks, changes) == (0, [UNHEALTHY])


@pytest.mark.parametrize(("limit", "ended"), [(0, False), (100, True)])
async def test_one_that_is_unhealthy_for_long_is_stopped_where_the_operator_wants_it(
    worker: Worker, clock: Clock, limit: int, ended: bool
) -> None:
    async def changed(_: Condition) -> None: ...

    watch = HealthWatch(worker, HealthPolicy(unhealthy_limit=timedelta(seconds=limit)), clock, changed)
    worker.well = Health(healthy=False, message="no disk")
    assert await watch.look() is None
    clock.passed = timedelta(seconds=100)

    verdict = await watch.look()

    assert bool(verdict) == ended
    if verdict is not None:
        expected = "Its own health check said no for 100 s, and the host stopped it. It said: no disk"
        assert (verdict.kind, verdict.sentence) == (VerdictKind.UNHEALTHY, expected)


async def test_nobody_looks_while_a_developer_does(watch: HealthWatch, worker: Worker) -> None:
    worker.well = None
    with watch.held():
        assert await watch.look() is None
        assert watch.condition == WELL
    await watch.look()
    assert watch.condition.kind is SILENT


async def test_a_link_that_goes_is_not_ill_health(watch: HealthWatch, worker: Worker) -> None:
    worker.well = CallError(Status.UNAVAILABLE, Reason.LINK_CLOSED, "gone")
    assert await watch.look() is None
    assert watch.condition == WELL
    worker.gone = True
    with pytest.raises(OSError, match=r"^$"):
        await watch.look()


LOOKS = st.builds(
    Look,
    began=st.integers(0, 1000).map(lambda seconds: NOON + timedelta(seconds=seconds)),
    health=st.one_of(st.none(), st.builds(Health, st.booleans(), st.just(""))),
    linked=st.booleans(),
    cpu_share=st.floats(0, 4),
    stopped=st.booleans(),
)


@given(st.lists(LOOKS, max_size=12))
def test_since_is_the_first_look_of_an_unbroken_row(looks: list[Look]) -> None:
    condition, row = WELL, NOON
    groups = {ANSWERING: "well", UNHEALTHY: "ill", BUSY: "mute", SILENT: "mute"}
    for look in sorted(looks, key=lambda look: look.began):
        before, condition = condition, after(condition, look)
        row = row if groups[before.kind] == groups[condition.kind] else look.began
        assert condition.since == row
        assert overdue(condition, timedelta(), POLICY) is None
        assert condition.kind.answers == (look.health is not None)


def test_cpu_time_and_state_stand_after_a_name_that_may_hold_anything() -> None:
    stat = "42 (a) S b) T 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 100 0 0"
    assert read_processing(stat) == Processing(200 / os.sysconf("SC_CLK_TCK"), stopped=True)
    own = processing_of(os.getpid())
    assert own.cpu_seconds > 0
    assert not own.stopped
    with pytest.raises(OSError, match="No such file"):
        processing_of(2**22 + 1)


def test_a_name_that_is_no_text_hides_nobody() -> None:
    """A plugin may give itself any: the host must neither stumble over it nor read in it what it likes."""
    libc, pr_set_name = ctypes.CDLL(None), 15
    before = Path("/proc/self/comm").read_bytes().rstrip(b"\n")
    try:
        for name in (b"\xff\xfe) Z 1", b"a\nSigCgt:\tffff"):
            libc.prctl(pr_set_name, name, 0, 0, 0)
            assert not processing_of(os.getpid()).stopped
            status = read_proc(os.getpid(), "status")
            assert sum(line.startswith("SigCgt:") for line in status.splitlines()) == 1
    finally:
        libc.prctl(pr_set_name, before, 0, 0, 0)


async def test_a_stack_that_could_not_be_taken_is_asked_for_again(
    watch: HealthWatch, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.well = None
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "take_stack", nothing)
        await watch.look()
    assert (watch.condition.stack, worker.stacks) == ("", 0)
    await watch.look()
    await watch.look()
    assert (watch.condition.where, worker.stacks) == (STACK.where, 1)


async def nothing(_: Worker) -> Stack:
    return Stack()


@pytest.mark.parametrize("step", [timedelta(hours=-3), timedelta(hours=3)])
async def test_a_wall_clock_that_is_set_ends_nobody_and_saves_nobody(
    watch: HealthWatch, worker: Worker, clock: Clock, step: timedelta
) -> None:
    worker.well, worker.linked = None, False
    assert await watch.look() is None
    clock.stepped = step
    assert await watch.look() is None
    clock.passed = timedelta(seconds=60)
    verdict = await watch.look()
    assert verdict is not None
    assert "did not answer for 6" in verdict.sentence
