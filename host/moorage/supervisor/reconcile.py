"""What to do next about the workers of one installation: what is wanted, against what is there. Pure.

The keeper asks after everything that happens, and does as it is told; between two answers nothing is remembered here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Phase(StrEnum):
    """How far a worker is, as far as it matters here."""

    STARTING = "starting"
    READY = "ready"
    #: On its way out, whoever sent it: it takes no sessions, and holds its place until it is gone.
    LEAVING = "leaving"


@dataclass(frozen=True)
class Wanted:
    #: Somebody wants it; once it was ready it is kept so.
    up: bool
    replicas: int = 1
    #: Why it may not run, in the words of its desired state; empty: it may.
    obstacle: str = ""
    #: What workers are told that go because they are not wanted, or may not run.
    because: str = ""
    #: Without sessions for so long it is stopped; None: never.
    idle_stop: timedelta | None = None


@dataclass(frozen=True)
class Seen:
    """One worker that holds a place."""

    key: int
    phase: Phase
    #: Sessions that it has.
    load: int = 0
    #: Why it has to make room for another one; empty: it fits.
    outdated: str = ""


@dataclass(frozen=True)
class Observed:
    #: Oldest first.
    workers: tuple[Seen, ...] = ()
    #: Those who wait for a worker.
    waiting: int = 0
    #: Somebody else sees to its workers now, and sessions wait.
    paused: bool = False
    #: No start before.
    rest_until: timedelta | None = None
    #: Since when there was no session; counts where no worker has one.
    idle_since: timedelta | None = None


@dataclass(frozen=True)
class Refuse:
    """Those who wait are told why there will be no worker."""

    obstacle: str


@dataclass(frozen=True)
class Serve:
    """Those who wait are given ready workers."""


@dataclass(frozen=True)
class Start:
    count: int


@dataclass(frozen=True)
class Stop:
    key: int
    reason: str
    #: Its sessions may take as long as they need.
    patient: bool = False


@dataclass(frozen=True)
class Idle:
    """Nobody has needed it for long: it is not wanted until somebody asks for it again."""


@dataclass(frozen=True)
class Wake:
    """Ask again then, if nothing happens before."""

    at: timedelta


Action = Refuse | Serve | Start | Stop | Idle | Wake


def decide(wanted: Wanted, observed: Observed, now: timedelta) -> tuple[Action, ...]:
    """In the order in which to do it. ``now`` is the clock's ``elapsed``."""
    return tuple(_actions(wanted, observed, now))


def _actions(wanted: Wanted, observed: Observed, now: timedelta) -> Iterator[Action]:
    living = [worker for worker in observed.workers if worker.phase is not Phase.LEAVING]
    if wanted.obstacle:
        if observed.waiting:
            yield Refuse(wanted.obstacle)
        yield from (Stop(worker.key, wanted.because) for worker in living)
        return
    if not wanted.up:
        yield from (Stop(worker.key, wanted.because) for worker in living)
        return
    if observed.paused:
        return
    kept = [worker for worker in living if not worker.outdated]
    if observed.waiting and any(worker.phase is Phase.READY for worker in kept):
        yield Serve()
    yield from (Stop(worker.key, worker.outdated) for worker in living if worker.outdated)
    yield from _surplus(kept, len(kept) - wanted.replicas)
    if _idle(wanted, observed):
        action = _idle_action(wanted, observed, now)
        yield action
        if isinstance(action, Idle):
            yield from (Stop(worker.key, "idle") for worker in observed.workers)
            return
    missing = wanted.replicas - len(observed.workers)
    if missing > 0:
        resting = observed.rest_until is not None and now < observed.rest_until
        yield Wake(observed.rest_until) if resting and observed.rest_until is not None else Start(missing)


def _surplus(kept: list[Seen], count: int) -> Iterator[Action]:
    """Those that cost the least: such as have not begun to work, then those with the least to do, newest first."""
    if count > 0:
        order = sorted(kept, key=lambda worker: (worker.phase is Phase.READY, worker.load, -worker.key))
        yield from (Stop(worker.key, "fewer workers are wanted", patient=True) for worker in order[:count])


def _idle(wanted: Wanted, observed: Observed) -> bool:
    """Every worker is ready and none has anything to do."""
    return (
        wanted.idle_stop is not None
        and observed.idle_since is not None
        and bool(observed.workers)
        and not observed.waiting
        and all(worker.phase is Phase.READY and not worker.load for worker in observed.workers)
    )


def _idle_action(wanted: Wanted, observed: Observed, now: timedelta) -> Idle | Wake:
    assert wanted.idle_stop is not None
    assert observed.idle_since is not None
    due = observed.idle_since + wanted.idle_stop
    return Idle() if now >= due else Wake(due)
