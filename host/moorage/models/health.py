"""How a ready worker is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ConditionKind(StrEnum):
    ANSWERING = "answering"
    #: It does not answer, and burns CPU.
    BUSY = "busy"
    #: It does not answer, and burns none: it waits for something, or was stopped.
    SILENT = "silent"
    #: It answers, and its own ``health`` says no.
    UNHEALTHY = "unhealthy"

    @property
    def answers(self) -> bool:
        return self in (ConditionKind.ANSWERING, ConditionKind.UNHEALTHY)


@dataclass(frozen=True)
class Condition:
    kind: ConditionKind
    #: Since when it answers or does not, or is well or is not: the first look that found it so.
    since: datetime
    #: A sentence for an operator; of an unhealthy worker, its plugin's words. Empty: it is well.
    message: str = ""
    #: What all its threads did when it stopped answering, if that could be learnt.
    stack: str = ""
    #: The newest frame of the plugin's own code in it: "geo/index.py:88 build()".
    where: str = ""
