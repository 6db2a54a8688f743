"""Gathers what explains an installation's state, from supervisor, orchestrator, store and audit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from moorage.app.wiring import Wiring
from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.execution import Execution, ExecutionState
from moorage.models.health import Condition, ConditionKind
from moorage.models.incarnation import IncarnationStatus, Verdict, VerdictKind
from moorage.models.remedies import remedy_of
from moorage.models.views import InstallationView
from moorage.models.why import LastChange, LastVerdict, RunningExecution, Why, WorkerStack
from moorage.supervisor.errors import WorkerMissing

#: For so long a death is worth a word of what to do about it, although another worker runs.
RECENT = timedelta(hours=1)

#: Entries of the audit that are looked through for the last change.
AUDIT_ENTRIES = 500

#: What can change how an installation behaves; the rest is looking and running.
CHANGES = frozenset(
    {
        "install", "upgrade", "rollback", "reload", "configure", "grant", "revoke", "start", "stop", "kill", "release",
        "enable", "disable", "scale",
    }
)  # fmt: skip


async def stacks_of(parts: Wiring, name: str) -> tuple[WorkerStack, ...]:
    """Of all living workers, newest first, at the same time. Raises InstallationUnknown, WorkerMissing."""
    await parts.store.installations.get(name)
    living = [each for each in parts.supervisor.living(name) if not each.ended and each.status.pid]
    if not living:
        raise WorkerMissing(name)
    stacks = await asyncio.gather(*(each.take_stack() for each in living))
    pairs = zip(living, stacks, strict=True)
    return tuple(WorkerStack(each.status.number, stack.text, stack.where) for each, stack in pairs)


async def explained(parts: Wiring, view: InstallationView) -> Why:
    name, now = view.installation.id, datetime.now(UTC)
    living = [each for each in parts.supervisor.living(name) if not each.ended]
    # With several workers, the one that is worst off is the one to talk of.
    shown = next((each for each in living if each.ready and each.condition == view.condition), next(iter(living), None))
    status = shown.status if shown is not None else None
    await parts.audit.flush()
    entries = await parts.store.audit.read(installation=name, limit=AUDIT_ENTRIES)
    keeper = parts.supervisor.keeper(name)
    open_ones = parts.orchestrator.open_ones(name)
    return Why(
        installation=name,
        state=view.state,
        reason=view.reason,
        now=now,
        number=status.number if status else None,
        pid=status.pid if status else None,
        since=status.ready_at or status.started_at if status else None,
        condition=view.condition,
        changed=last_change(entries, _became(view, now)),
        executions=running(open_ones),
        queued=sum(each.state is ExecutionState.QUEUED for each in open_ones),
        holdings=tuple(holding for each in living for holding in each.holdings),
        verdict=last_verdict(view.incarnations),
        restart_in=keeper.rest if keeper is not None else None,
        next_step=next_step(view) or _meanwhile(view, running(open_ones), now),
    )


def last_change(entries: Iterable[AuditEntry], before: datetime) -> LastChange | None:
    """The newest entry of a person's, or the host's, doing that is not after that moment. Entries: oldest first."""
    found = None
    for entry in entries:
        if entry.kind is AuditKind.ACTION and entry.action in CHANGES and entry.time <= before:
            found = LastChange(entry.action, entry.actor, entry.time, entry.message)
    return found


def running(executions: Iterable[Execution]) -> tuple[RunningExecution, ...]:
    """The longest first."""
    found = [RunningExecution(each.id, each.task, each.started_at) for each in executions if each.started_at]
    return tuple(sorted(found, key=lambda each: each.since))


def last_verdict(incarnations: Iterable[IncarnationStatus]) -> LastVerdict | None:
    """Of the newest that ended without being asked to. Incarnations: newest first."""
    for each in incarnations:
        if each.verdict is not None and not each.verdict.planned:
            return LastVerdict(each.number, each.stopped_at, each.verdict)
    return None


def next_step(view: InstallationView) -> str:
    """One sentence, with the command."""
    name = view.installation.id
    if view.condition is not None:
        return _about(name, view.condition)
    newest = next(iter(view.incarnations), None)
    verdict = newest.verdict if newest is not None else None
    if verdict is not None and not verdict.planned and _is_told_of(view, verdict):
        return remedy_of(verdict.kind, name)
    if view.state == "stopped" and not view.reason:
        return remedy_of(VerdictKind.PLANNED_STOP, name)
    return ""


def _is_told_of(view: InstallationView, verdict: Verdict) -> bool:
    """Whether it is that end for which it does not run."""
    return view.state == "quarantined" or (view.state in ("stopped", "restarting") and verdict.sentence in view.reason)


def _meanwhile(view: InstallationView, executions: Sequence[RunningExecution], now: datetime) -> str:
    """Of one that is well, at first sight."""
    name = view.installation.id
    if executions and view.state == "ready":
        return f"What it does at this moment: moorage stack {name}   End it: moorage cancel {executions[0].id}"
    last = last_verdict(view.incarnations)
    if view.state == "ready" and last is not None and last.at is not None and now - last.at < RECENT:
        return remedy_of(last.verdict.kind, name)
    return ""


def _about(name: str, condition: Condition) -> str:
    if condition.kind is ConditionKind.ANSWERING:
        return ""
    if condition.kind is ConditionKind.UNHEALTHY:
        return f"Its log says more: moorage logs {name}"
    return f"All its threads: moorage stack {name}   Stop it: moorage stop {name} --hold REASON"


def _became(view: InstallationView, now: datetime) -> datetime:
    """Since when it is as it is."""
    if view.condition is not None and view.condition.kind is not ConditionKind.ANSWERING:
        return view.condition.since
    newest = next(iter(view.incarnations), None)
    ended = newest is not None and newest.verdict is not None and not newest.verdict.planned
    if newest is None or not ended or view.state in ("held", "disabled", "switched off", "not granted"):
        return now
    return newest.stopped_at or now
