"""When a worker that died is started again, and when no more. Pure.

Every end that nobody planned is remembered for a while. The n-th that is remembered is followed by a start after
``backoff_first`` doubled n-1 times, and jittered, so that installations which fell together do not rise together. One
more than ``restarts`` within the window puts the installation in quarantine. A start that succeeds forgets nothing;
being ready for ``stable_after`` forgets all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from moorage.models.incarnation import Verdict, VerdictKind

#: The host's own doing, or the machine's: nothing that the plugin could be blamed for.
_BLAMELESS = frozenset({VerdictKind.SANDBOX_FAILED, VerdictKind.ZYGOTE_LOST, VerdictKind.HOST_DIED})

#: One is enough: no plugin has a use for such a call.
_UNFORGIVABLE = frozenset({VerdictKind.FORBIDDEN_SYSTEM_CALL})

#: Beyond any longest step that makes sense, and within what a timedelta can hold.
_MOST_DOUBLINGS = 20

_NONE = timedelta()


@dataclass(frozen=True)
class Policy:
    """The operator's settings, as ``[supervision]`` has them."""

    #: Restarts within the window; one death more is the last.
    restarts: int = 5
    window: timedelta = timedelta(minutes=5)
    #: A worker that was ready for so long has proved itself: earlier deaths are forgotten.
    stable_after: timedelta = timedelta(minutes=1)
    backoff_first: timedelta = timedelta(milliseconds=200)
    backoff_most: timedelta = timedelta(seconds=30)
    #: Developers meet forbidden calls by accident.
    forgiving: bool = False


@dataclass(frozen=True)
class History:
    """What is remembered of one installation's workers. Times are the clock's ``elapsed``."""

    #: Ends that nobody planned, oldest first, that count.
    deaths: tuple[timedelta, ...] = ()
    #: Ends in a row that call for patience, those that do not count included.
    streak: int = 0


@dataclass(frozen=True)
class Decision:
    """What follows from one end."""

    history: History
    #: How long to wait before the next start.
    delay: timedelta = _NONE
    #: A sentence: no further start until a person says so. Empty: none.
    quarantine: str = ""


def after_end(
    history: History, verdict: Verdict, policy: Policy, *, at: timedelta, was_ready: timedelta = _NONE, luck: float
) -> Decision:
    """``was_ready``: how long that worker had been ready. ``luck``: 0.0 to 1.0, drawn for this decision."""
    if verdict.planned:
        return Decision(history)
    if was_ready >= policy.stable_after:
        history = History()
    history = replace(history, deaths=_recent(history.deaths, policy, at), streak=history.streak + 1)
    if verdict.kind not in _BLAMELESS:
        history = replace(history, deaths=(*history.deaths, at))
    return Decision(history, delay_of(history.streak, policy, luck), _judgement(history, verdict, policy))


def unforgivable(verdict: Verdict) -> bool:
    """Whether one such end is enough."""
    return verdict.kind in _UNFORGIVABLE


def from_outside(verdict: Verdict) -> bool:
    """Whether something else than the plugin ended it: the next start may well succeed."""
    killed = verdict.kind is VerdictKind.SIGNALLED and verdict.signal == "SIGKILL"
    return killed or verdict.kind is VerdictKind.ZYGOTE_LOST


def delay_of(streak: int, policy: Policy, luck: float) -> timedelta:
    """From half of the step to the whole of it. A step beyond the longest one is the longest one."""
    doublings = min(max(streak, 1) - 1, _MOST_DOUBLINGS)
    step = min(policy.backoff_first * (1 << doublings), policy.backoff_most)
    return step * (0.5 + luck / 2)


def _recent(deaths: tuple[timedelta, ...], policy: Policy, at: timedelta) -> tuple[timedelta, ...]:
    return tuple(death for death in deaths if at - death < policy.window)


def _judgement(history: History, verdict: Verdict, policy: Policy) -> str:
    if unforgivable(verdict) and not policy.forgiving:
        return verdict.sentence
    if len(history.deaths) <= policy.restarts:
        return ""
    return f"{_times(len(history.deaths))} in {_span(policy.window)}. The last time: {verdict.sentence}"


def _times(count: int) -> str:
    return "Its worker died once" if count == 1 else f"Its worker died {count} times"


def _span(span: timedelta) -> str:
    return f"{span.total_seconds():g} s"
