"""Why an installation is as it is, and what its workers' threads do."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from moorage.models import health as health_models
from moorage.models import why as why_models
from moorage.models.health import ConditionKind
from moorage.web.schemas.base import Document
from moorage.web.schemas.installations import Verdict


class Condition(Document):
    """How a ready worker is."""

    kind: ConditionKind = Field(
        description="answering; busy: no answer, and it burns CPU; silent: no answer, and it burns none; unhealthy: "
        "its own health hook says no."
    )
    since: datetime
    message: str = Field(description="A sentence; of an unhealthy worker, its plugin's words.")
    where: str = Field(description="The newest frame of the plugin's own code: geo/index.py:88 build().")
    stack: str = Field(description="All threads, taken when it no longer answered.")

    @classmethod
    def of(cls, condition: health_models.Condition) -> Self:
        return cls(
            kind=condition.kind,
            since=condition.since,
            message=condition.message,
            where=condition.where,
            stack=condition.stack,
        )


class LastChange(Document):
    """What was done to it last before it became as it is."""

    action: str
    by: str
    at: datetime
    message: str = ""

    @classmethod
    def of(cls, change: why_models.LastChange) -> Self:
        return cls(action=change.action, by=change.by, at=change.at, message=change.message)


class RunningExecution(Document):
    id: str
    task: str
    since: datetime


class Holding(Document):
    """Something that the host keeps open for the worker."""

    execution: str = Field(description="The execution for which it is open; empty: for the worker itself.")
    what: str = Field(examples=["transaction on sql main"])
    since: datetime


class LastVerdict(Document):
    """Of the newest worker that ended without being asked to."""

    number: int
    at: datetime | None
    verdict: Verdict

    @classmethod
    def of(cls, last: why_models.LastVerdict, installation: str) -> Self:
        return cls(number=last.number, at=last.at, verdict=Verdict.of(last.verdict, installation))


class Why(Document):
    installation: str
    state: str = Field(description="One word for people.", examples=["busy"])
    reason: str
    now: datetime = Field(description="The host's clock, against which all times here count.")
    number: int | None = Field(description="Of the present worker; none: it has no worker.")
    pid: int | None
    since: datetime | None = Field(description="Since when the present worker is ready, or starts.")
    condition: Condition | None
    changed: LastChange | None
    executions: list[RunningExecution] = Field(description="The longest first.")
    queued: int = Field(description="Executions that wait for their turn.")
    holdings: list[Holding]
    verdict: LastVerdict | None
    restart_in_seconds: float | None = Field(description="Until its next start by itself.")
    next_step: str = Field(description="What to do, with the command; empty: nothing.")

    @classmethod
    def of(cls, why: why_models.Why) -> Self:
        return cls(
            installation=why.installation,
            state=why.state,
            reason=why.reason,
            now=why.now,
            number=why.number,
            pid=why.pid,
            since=why.since,
            condition=None if why.condition is None else Condition.of(why.condition),
            changed=None if why.changed is None else LastChange.of(why.changed),
            executions=[RunningExecution(id=each.id, task=each.task, since=each.since) for each in why.executions],
            queued=why.queued,
            holdings=[Holding(execution=each.execution, what=each.what, since=each.since) for each in why.holdings],
            verdict=None if why.verdict is None else LastVerdict.of(why.verdict, why.installation),
            restart_in_seconds=None if why.restart_in is None else why.restart_in.total_seconds(),
            next_step=why.next_step,
        )


class WorkerStack(Document):
    """What all threads of one worker do."""

    number: int
    text: str = Field(
        description="As Python's faulthandler writes it, the main thread first; empty: it could not tell."
    )
    where: str = Field(description="The newest frame of the plugin's own code; empty: none is in it.")

    @classmethod
    def of(cls, stack: why_models.WorkerStack) -> Self:
        return cls(number=stack.number, text=stack.text, where=stack.where)
