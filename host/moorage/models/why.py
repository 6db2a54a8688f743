"""Answers to "why is it as it is?", for an operator who has a minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from moorage.models.attachment import Holding
from moorage.models.health import Condition
from moorage.models.incarnation import Verdict


@dataclass(frozen=True)
class WorkerStack:
    """What all threads of one worker do."""

    number: int
    #: Empty: the worker could not tell.
    text: str
    #: The newest frame of the plugin's own code: "geo/index.py:88 build()"; empty: none is in it.
    where: str


@dataclass(frozen=True)
class LastChange:
    """What somebody did to the installation last, before it became as it is."""

    action: str
    by: str
    at: datetime
    message: str = ""


@dataclass(frozen=True)
class RunningExecution:
    id: str
    task: str
    since: datetime


@dataclass(frozen=True)
class LastVerdict:
    number: int
    at: datetime | None
    verdict: Verdict


@dataclass(frozen=True)
class Why:
    installation: str
    #: One word, and the sentence to it, as everywhere.
    state: str
    reason: str
    #: The host's clock, against which all times here count.
    now: datetime
    #: Of the present worker; None: there is none.
    number: int | None = None
    pid: int | None = None
    since: datetime | None = None
    condition: Condition | None = None
    changed: LastChange | None = None
    executions: tuple[RunningExecution, ...] = ()
    #: How many more wait for their turn.
    queued: int = 0
    holdings: tuple[Holding, ...] = ()
    #: Of the last worker that ended without being asked to, if one did.
    verdict: LastVerdict | None = None
    #: Until the next start by itself; None: none is planned.
    restart_in: timedelta | None = None
    #: A sentence; empty: nothing is to be done.
    next_step: str = ""
