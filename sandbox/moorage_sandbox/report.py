"""What the kernel really enforces: the result of a probe, or of looking at one worker from outside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Mapping, Optional, Tuple

#: Strongest first.
LEVELS = ("full", "full-bwrap", "restricted", "none")


@dataclass(frozen=True)
class MissingLayer:
    """A layer that could not be had, in words an operator can act on."""

    #: Key of ``SandboxReport.layers``.
    layer: str
    #: Of the system call that failed; 0 where none did.
    errno: int
    #: What was tried and what answered: "unshare(CLONE_NEWUSER) answered EPERM".
    reason: str
    #: What a plugin can do that it could not do otherwise.
    consequence: str
    #: What an operator may change.
    remedy: str


@dataclass(frozen=True)
class LandlockFacts:
    #: 0: the kernel has none.
    abi: int = 0
    fs: bool = False
    tcp: bool = False
    #: Signals and abstract sockets.
    scopes: bool = False
    #: Connecting to sockets by their paths.
    unix: bool = False


@dataclass(frozen=True)
class SeccompFacts:
    #: Machine as uname(2) tells it; "" without a filter.
    arch: str = ""
    #: SHA-256 of the filter that was loaded.
    filter_hash: str = ""
    #: Whether forbidden calls are named before they end the worker.
    named: bool = False


@dataclass(frozen=True)
class CgroupFacts:
    #: "v1", "v2" or "none".
    version: str = "none"
    memory: bool = False
    pids: bool = False
    cpu: bool = False


@dataclass(frozen=True)
class SandboxReport:
    #: One of LEVELS.
    level: str
    #: Layer to what is in force: {"mount": "own, empty root", "landlock": "ABI 7: files, TCP, scopes", ...}.
    layers: Mapping[str, str]
    missing: Tuple[MissingLayer, ...] = ()
    landlock: LandlockFacts = LandlockFacts()
    seccomp: SeccompFacts = SeccompFacts()
    #: As the host's user namespace knows it; None: no worker was made.
    uid: Optional[int] = None
    #: Effective, permitted and bounding set together.
    capabilities: int = 0
    no_new_privileges: bool = False
    #: What the worker has as /proc: "none", "own" or "host".
    proc: str = "none"
    #: Names of RLIMIT_ constants and hard limits.
    rlimits: Mapping[str, Optional[int]] = field(default_factory=dict)
    cgroup: CgroupFacts = CgroupFacts()
    #: How the whole tree is killed: "pid namespace", "cgroup.kill", "process" or "process group".
    kill: str = ""
    #: What bounds its memory: "cgroup", "rlimit_data", "watchdog" or "".
    memory: str = ""
    #: What bounds the space of its data folder: "watchdog" or "".
    data: str = ""


def at_least(level: str, required: str) -> bool:
    """Whether a level is as strong as the required one."""
    return LEVELS.index(level) <= LEVELS.index(required)


def _done_by(cgroup: CgroupFacts) -> Tuple[str, ...]:
    return ("cgroup", "processes") if cgroup.pids else ("cgroup",)


def in_cgroup(report: SandboxReport, cgroup: CgroupFacts) -> SandboxReport:
    """The report of a worker that is in a control group too. Pure."""
    if cgroup.version == "none":
        return report
    bounded = [name for name in ("memory", "pids", "cpu") if getattr(cgroup, name)]
    words = f"{cgroup.version}: {', '.join(bounded) or 'kill alone'}"
    return replace(
        report,
        cgroup=cgroup,
        layers={**report.layers, "cgroup": words},
        missing=tuple(entry for entry in report.missing if entry.layer not in _done_by(cgroup)),
        kill="cgroup.kill",
        memory="cgroup" if cgroup.memory else report.memory,
    )
