"""Which processes a worker has, by the kernel's word."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from moorage_sandbox import cgroup
from moorage_sandbox.cgroup import Group

#: Of what ``stat_of`` returns.
_STATE, _THREADS = 0, 17


def processes_of(pid: int, group: Group | None) -> Sequence[int]:
    """The worker, and all that it has started: daemons, too, that have left its session.

    By its control group; without one by its pid namespace, which takes about a millisecond for each hundred processes
    of the machine; where that may not be read, or is the host's own, by parents and children alone.
    """
    if group is not None:
        return cgroup.processes(group)
    return _in_namespace_of(pid) or _descendants(pid)


def stat_of(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state) on; None: there is no such process.

    The second is the program's name in brackets, which may hold anything.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def is_over(stat: Sequence[str]) -> bool:
    """Whether nothing of the process runs any more. Its first thread may have ended, and others go on."""
    return stat[_STATE] in "ZX" and int(stat[_THREADS]) <= 1


def has_lost_its_first_thread(stat: Sequence[str]) -> bool:
    """Then /proc shows neither its descriptors nor its memory; so it is, too, for a moment, while it ends."""
    return stat[_STATE] in "ZX" and int(stat[_THREADS]) > 1


def _in_namespace_of(pid: int) -> list[int]:
    own = _namespace(pid)
    if own is None or own == _namespace(os.getpid()):
        return []
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - names alone
    return [each for each in pids if _namespace(each) == own]


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino  # noqa: PTH116 - one call for each process of the machine
    except OSError:
        return None


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        found += _children(each)
    return found


def _children(pid: int) -> list[int]:
    """Of all its threads; a kernel without CONFIG_PROC_CHILDREN does not tell."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        return [int(word) for task in tasks.iterdir() for word in (task / "children").read_text().split()]
    except OSError:
        return []
