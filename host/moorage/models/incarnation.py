"""One start of a worker, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from moorage.models.installation import InstallationId


class IncarnationState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class VerdictKind(StrEnum):
    """Why a worker ended. A planned stop is never an error."""

    PLANNED_STOP = "planned_stop"
    KILLED_BY_OPERATOR = "killed_by_operator"
    EXITED = "exited"
    SIGNALLED = "signalled"
    FORBIDDEN_SYSTEM_CALL = "forbidden_system_call"
    OUT_OF_MEMORY = "out_of_memory"
    #: Its data folder held more than its limits allow, and the host ended it.
    DISK_FULL = "disk_full"
    START_DEADLINE = "start_deadline"
    LOAD_FAILED = "load_failed"
    SANDBOX_FAILED = "sandbox_failed"
    PROTOCOL_VIOLATION = "protocol_violation"
    LINK_LOST = "link_lost"
    #: A call went on although it was cancelled or its time had run out.
    TAINTED = "tainted"
    #: It did not answer for as long as the settings allow, and the host ended it.
    SILENT = "silent"
    #: Its own ``health`` said no for as long as the settings allow, and the host ended it.
    UNHEALTHY = "unhealthy"
    #: The zygote from which it was forked ended first: another process of the host's, which all plugins share.
    ZYGOTE_LOST = "zygote_lost"
    HOST_DIED = "host_died"


@dataclass(frozen=True)
class Verdict:
    kind: VerdictKind
    #: Whole sentences for an operator.
    sentence: str
    exit_code: int | None = None
    signal: str = ""
    #: The plugin's traceback, if there is one.
    traceback: str = ""
    #: What all its threads were doing at the end, as Python's faulthandler writes it, if that could be learnt.
    stack: str = ""
    #: The last lines that it wrote to its standard output and error, oldest first.
    lines: tuple[str, ...] = ()

    @property
    def planned(self) -> bool:
        return self.kind in (VerdictKind.PLANNED_STOP, VerdictKind.KILLED_BY_OPERATOR)


@dataclass(frozen=True)
class IncarnationStatus:
    id: str
    number: int
    installation: InstallationId
    state: IncarnationState
    pid: int
    start: str
    sandbox_level: str
    started_at: datetime
    ready_at: datetime | None = None
    stopped_at: datetime | None = None
    verdict: Verdict | None = None
    python: str = ""
    protobuf: str = ""
    grpcio: str = ""
