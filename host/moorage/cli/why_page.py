"""One screen that explains an installation: what it does, since when, what changed before, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from moorage.cli.output import duration, short_time, stated
from moorage.cli.plain import one_line
from moorage.models.health import ConditionKind
from moorage.web.schemas.why import Condition, LastChange, Why

#: Of running executions and of open things.
SHOWN = 5

#: Of these the message is the reason that somebody gave; of others it is what was done.
REASONED = frozenset({"stop", "release", "enable", "disable", "kill"})


def page(why: Why) -> Iterator[str]:
    """A line for each fact, the most urgent first; whole lines, so that a pipe can match them."""
    yield _headline(why)
    if origin := _origin(why):
        yield origin
    yield from _work(why)
    if why.verdict is not None:
        last = why.verdict
        when = f" {short_time(last.at)}" if last.at is not None else ""
        told = last.verdict.sentence in why.reason
        yield f"#{last.number} ended{when}: {last.verdict.kind.replace('_', ' ') if told else last.verdict.sentence}"
    if why.restart_in_seconds is not None:
        yield f"next start in {duration(why.restart_in_seconds)}"
    if why.next_step:
        yield f"next: {why.next_step}"


def _headline(why: Why) -> str:
    condition = why.condition
    if condition is None or why.number is None:
        worker = f" (#{why.number} pid {why.pid})" if why.number is not None else ""
        return stated(f"{why.installation} is {why.state}{worker}", why.reason)
    if condition.kind is ConditionKind.ANSWERING:
        return f"#{why.number} ready: it answers; pid {why.pid}"
    lasted = duration((why.now - condition.since).total_seconds())
    if condition.kind is ConditionKind.UNHEALTHY:
        return f"#{why.number} unhealthy {lasted}: {condition.message or 'its health hook says no'}"
    return f"#{why.number} {condition.kind} {lasted}: {_standstill(condition)}; process alive"


def _standstill(condition: Condition) -> str:
    what = condition.message.removesuffix(".")
    return f"{condition.where}: {what}" if condition.where else what


def _origin(why: Why) -> str:
    """ "since 02:51, 4 min after upgrade 2.3.1 -> 2.4.0 by dana"."""
    began = _began(why)
    changed = why.changed
    since = f"since {short_time(began)}" if began is not None else ""
    if changed is None:
        return since
    what = _done(changed)
    if began is None:
        return f"last change: {what}, {_whole(why.now, changed.at)} ago"
    if changed.at > began:
        told = f"{what} {_whole(why.now, changed.at)} ago"
    else:
        told = f"{_whole(began, changed.at)} after {what}"
    return ", ".join(filter(None, (since, told)))


def _done(changed: LastChange) -> str:
    by = f"by {changed.by or 'someone'}"
    if changed.action in REASONED:
        return f"{changed.action} {by}{f' ({changed.message})' if changed.message else ''}"
    return f"{changed.action} {changed.message}".strip() + f" {by}"


def _whole(later: datetime, earlier: datetime) -> str:
    seconds = max(0, round((later - earlier).total_seconds()))
    return f"{seconds} s" if seconds < 60 else duration(timedelta(seconds=seconds))


def _began(why: Why) -> datetime | None:
    if why.condition is not None and why.condition.kind is not ConditionKind.ANSWERING:
        return why.condition.since
    return why.since


def _work(why: Why) -> Iterator[str]:
    for each in why.executions[:SHOWN]:
        yield f"{each.id} {one_line(each.task)} runs for {_for(why, each.since)}"
    if (more := len(why.executions) - SHOWN) > 0:
        yield f"{more} more executions run"
    if why.queued:
        yield f"{why.queued} queued"
    for holding in why.holdings[:SHOWN]:
        owner = f" for {holding.execution}" if holding.execution else ""
        yield f"1 {holding.what.replace(' on ', f' open {_for(why, holding.since)} on ', 1)}{owner}"


def _for(why: Why, since: datetime) -> str:
    return duration(max(0.0, (why.now - since).total_seconds()))
