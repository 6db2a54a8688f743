"""The decision: what is wanted, against what is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from moorage.supervisor.reconcile import (
    Action,
    Idle,
    Observed,
    Phase,
    Refuse,
    Seen,
    Serve,
    Start,
    Stop,
    Wake,
    Wanted,
    decide,
)

NOW = timedelta(hours=1)
SPANS = st.timedeltas(timedelta(0), timedelta(hours=2))
WANTED = st.builds(
    Wanted,
    up=st.booleans(),
    replicas=st.integers(1, 4),
    obstacle=st.sampled_from(["", "it is held"]),
    because=st.just("because"),
    idle_stop=st.none() | SPANS,
)
WORKERS = st.lists(
    st.tuples(st.sampled_from(Phase), st.integers(0, 3), st.sampled_from(["", "", "outdated"])), max_size=6
).map(lambda seen: tuple(Seen(key, *each) for key, each in enumerate(seen)))
OBSERVED = st.builds(
    Observed,
    workers=WORKERS,
    waiting=st.integers(0, 3),
    paused=st.booleans(),
    rest_until=st.none() | SPANS,
    idle_since=st.none() | SPANS,
)


def of(kind: type[Action], actions: tuple[Action, ...]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def done(observed: Observed, actions: tuple[Action, ...]) -> Observed:
    """What is there when each action has been done, and all that leaves is gone and all that starts is ready."""
    stopped = {action.key for action in actions if isinstance(action, Stop)}
    kept = [worker for worker in observed.workers if worker.key not in stopped and worker.phase is not Phase.LEAVING]
    started = sum(action.count for action in actions if isinstance(action, Start))
    fresh = [Seen(100 + len(observed.workers) + number, Phase.READY) for number in range(started)]
    served = of(Serve, actions) or of(Refuse, actions)
    workers = tuple(replace(worker, phase=Phase.READY) for worker in (*kept, *fresh))
    return replace(observed, workers=workers, waiting=0 if served else observed.waiting)


@given(WANTED, OBSERVED)
def test_it_comes_to_rest_with_what_is_wanted(wanted: Wanted, observed: Observed) -> None:
    now = timedelta(hours=2)  # nothing rests any more
    observed, wanted = replace(observed, paused=False), replace(wanted, idle_stop=None)
    for _ in range(4):
        observed = done(observed, decide(wanted, observed, now))
    assert decide(wanted, observed, now) == (
        () if not (wanted.obstacle and observed.waiting) else (Refuse("it is held"),)
    )
    if wanted.up and not wanted.obstacle:
        assert len(observed.workers) == wanted.replicas
        assert not any(worker.outdated for worker in observed.workers)
        assert not observed.waiting
    else:
        assert not observed.workers


@given(WANTED, OBSERVED, SPANS)
def test_nothing_unwanted_is_ever_started(wanted: Wanted, observed: Observed, now: timedelta) -> None:
    starts = of(Start, decide(wanted, observed, now))
    if starts:
        assert wanted.up
        assert not wanted.obstacle
        assert not observed.paused
        assert observed.rest_until is None or observed.rest_until <= now
        assert len(observed.workers) + sum(start.count for start in starts) == wanted.replicas


@given(WANTED, OBSERVED, SPANS)
def test_a_worker_is_stopped_once_and_never_while_it_leaves(wanted: Wanted, observed: Observed, now: timedelta) -> None:
    keys = [stop.key for stop in of(Stop, decide(wanted, observed, now))]
    living = {worker.key for worker in observed.workers if worker.phase is not Phase.LEAVING}
    assert len(keys) == len(set(keys))
    assert set(keys) <= living


@given(WANTED, OBSERVED, SPANS)
def test_a_pause_leaves_what_is_wanted_alone(wanted: Wanted, observed: Observed, now: timedelta) -> None:
    if wanted.up and not wanted.obstacle:
        assert decide(wanted, replace(observed, paused=True), now) == ()


@given(WANTED, OBSERVED, SPANS)
def test_who_waits_is_served_refused_or_has_something_to_wait_for(
    wanted: Wanted, observed: Observed, now: timedelta
) -> None:
    """Nobody is forgotten: as long as it is wanted, something will happen that pokes the keeper again."""
    observed = replace(observed, waiting=1, paused=False)
    actions = decide(replace(wanted, up=True), observed, now)
    coming = [worker for worker in observed.workers if worker.phase is not Phase.READY or worker.outdated]
    assert of(Serve, actions) or of(Refuse, actions) or of(Start, actions) or of(Wake, actions) or coming


@given(OBSERVED, SPANS, SPANS)
def test_idle_means_ready_without_sessions_for_so_long(observed: Observed, idle: timedelta, now: timedelta) -> None:
    wanted = Wanted(up=True, replicas=len(observed.workers) or 1, idle_stop=idle)
    actions = decide(wanted, observed, now)
    if of(Idle, actions):
        assert not observed.waiting
        assert all(worker.phase is Phase.READY and not worker.load for worker in observed.workers)
        assert observed.idle_since is not None
        assert now - observed.idle_since >= idle
        assert len(of(Stop, actions)) == len(observed.workers)
        assert not of(Start, actions)


def test_an_idle_one_is_looked_at_again_when_it_would_be_time() -> None:
    observed = Observed(workers=(Seen(1, Phase.READY),), idle_since=NOW)
    wanted = Wanted(up=True, idle_stop=timedelta(seconds=60))
    assert decide(wanted, observed, NOW) == (Wake(NOW + timedelta(seconds=60)),)
    assert decide(wanted, observed, NOW + timedelta(seconds=60)) == (Idle(), Stop(1, "idle"))


def test_those_go_first_that_cost_least() -> None:
    workers = (
        Seen(1, Phase.READY, 2),
        Seen(2, Phase.READY, 0),
        Seen(3, Phase.READY, 1),
        Seen(4, Phase.STARTING),
        Seen(5, Phase.READY, 0),
    )
    stops = of(Stop, decide(Wanted(up=True, replicas=1), Observed(workers=workers), NOW))
    assert [stop.key for stop in stops] == [4, 5, 2, 3]
    assert all(stop.patient for stop in stops)


def test_one_that_leaves_holds_its_place() -> None:
    leaving = Observed(workers=(Seen(1, Phase.LEAVING),), waiting=1)
    assert decide(Wanted(up=True), leaving, NOW) == ()
    assert decide(Wanted(up=True), replace(leaving, workers=()), NOW) == (Start(1),)


def test_it_rests_before_it_starts_again() -> None:
    until = NOW + timedelta(seconds=1)
    resting = Observed(waiting=1, rest_until=until)
    assert decide(Wanted(up=True), resting, NOW) == (Wake(until),)
    assert decide(Wanted(up=True), resting, until) == (Start(1),)
