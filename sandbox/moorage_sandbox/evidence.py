"""What the kernel says of one worker, read from the host's side. What the worker says of itself counts for nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, FrozenSet, Mapping, Optional, Tuple

#: Entries of /proc/<pid>/ns.
NAMESPACES = ("mnt", "pid", "net", "ipc", "uts")

#: Lines of /proc/<pid>/limits, by the constants that a plan names.
_LIMITS = {
    "RLIMIT_CORE": "Max core file size",
    "RLIMIT_NOFILE": "Max open files",
    "RLIMIT_FSIZE": "Max file size",
    "RLIMIT_STACK": "Max stack size",
    "RLIMIT_MEMLOCK": "Max locked memory",
    "RLIMIT_NPROC": "Max processes",
    "RLIMIT_DATA": "Max data size",
}

#: Mount point to its options: {"/data": {"rw", "nosuid", "nodev", "noexec", "relatime"}}.
Mounts = Mapping[str, FrozenSet[str]]


@dataclass(frozen=True)
class ProcessEvidence:
    """One process as /proc shows it."""

    #: Kind of namespace to its identity; None where it may not be read.
    namespaces: Mapping[str, Optional[str]]
    uids: Tuple[int, ...]
    effective_capabilities: int
    bounding_capabilities: int
    no_new_privileges: bool
    seccomp: int
    #: Most bytes of data, and most processes of its user; None for no bound.
    data_bytes: Optional[int]
    processes: Optional[int]
    #: Its pid in each pid namespace, from the reader's inwards.
    pids: Tuple[int, ...]
    #: None where they were not read.
    mounts: Optional[Mounts] = None
    #: Names of RLIMIT_ constants and hard limits, None for no bound.
    rlimits: Mapping[str, Optional[int]] = field(default_factory=dict)
    #: How many system call filters it has, those that it began with included; None before Linux 5.9.
    filters: Optional[int] = None
    #: Group ids: real, effective, saved, of the file system; then the supplementary ones.
    gids: Tuple[int, ...] = ()
    groups: Tuple[int, ...] = ()


def read_evidence(pid: int, *, mounts: bool = False) -> ProcessEvidence:
    """Reads /proc/<pid>, on request with its mounts. Raises OSError when the process is gone."""
    status = _status(Path(f"/proc/{pid}/status").read_text(errors="replace"))
    limits = Path(f"/proc/{pid}/limits").read_text()
    rlimits = {name: _hard_limit(limits, line) for name, line in _LIMITS.items()}
    return ProcessEvidence(
        namespaces={kind: _namespace(pid, kind) for kind in (*NAMESPACES, "user")},
        uids=tuple(int(word) for word in status["Uid"].split()),
        effective_capabilities=int(status["CapEff"], 16) | int(status["CapPrm"], 16),
        bounding_capabilities=int(status["CapBnd"], 16),
        no_new_privileges=status["NoNewPrivs"] == "1",
        seccomp=int(status["Seccomp"]),
        data_bytes=rlimits["RLIMIT_DATA"],
        processes=rlimits["RLIMIT_NPROC"],
        pids=tuple(int(word) for word in status["NSpid"].split()),
        mounts=read_mounts(pid) if mounts else None,
        rlimits=rlimits,
        filters=int(status["Seccomp_filters"]) if "Seccomp_filters" in status else None,
        gids=tuple(int(word) for word in status["Gid"].split()),
        groups=tuple(int(word) for word in status["Groups"].split()),
    )


def read_mounts(pid: int) -> Mounts:
    """/proc/<pid>/mountinfo (proc_pid_mountinfo(5)). Of several mounts on one point the last is the one in force."""
    lines = (line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines())
    return {_plain(fields[4]): frozenset(fields[5].split(",")) for fields in lines}


def _plain(point: str) -> str:
    """The kernel writes spaces, tabs, line ends and backslashes in octal."""
    for character in " \t\n\\":
        point = point.replace(f"\\{ord(character):03o}", character)
    return point


def _status(text: str) -> Dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.split("\n"))}


def _hard_limit(limits: str, name: str) -> Optional[int]:
    line = next(line for line in limits.splitlines() if line.startswith(name))
    hard = line[len(name) :].split()[1]
    return None if hard == "unlimited" else int(hard)


def _namespace(pid: int, kind: str) -> Optional[str]:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")  # noqa: PTH115 - the target is no path
    except PermissionError:
        return None
