"""What there is on this machine of one host: processes, sockets, mounts, cgroups. The kernel's word alone."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from moorage.config.settings import Settings
from moorage.supervisor.cgroups import tree_name

#: How often it is looked whether something is gone.
GLANCE_SECONDS = 0.002


@dataclass(frozen=True, order=True)
class Process:
    """A pid alone may come again; with the time it started it does not."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Zombies are gone: they hold nothing."""
        status = _stat(self.pid)
        return status is not None and status[2] == self.started and status[0] not in "ZX"


def _stat(pid: int) -> tuple[str, int, int] | None:
    """State, parent and start time of a process; proc_pid_stat(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), int(fields[19])


def workers_and_zygotes(workers: list[int], host: int) -> tuple[set[Process], set[Process]]:
    """Of the workers that the host names: their processes, and those that forked them."""
    found: set[Process] = set()
    zygotes: set[Process] = set()
    for pid in workers:
        status = _stat(pid)
        if status is None:
            continue
        found.add(Process(pid, status[2]))
        parent = _stat(status[1])
        if parent is not None and status[1] not in (1, host):
            zygotes.add(Process(status[1], parent[2]))
    return found, zygotes


def owned_by(first_uid: int, count: int) -> set[Process]:
    """Every process of the user ids that a host hands out, as root; whoever started it."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                uid = folder.stat().st_uid
            except OSError:
                continue
            status = _stat(int(folder.name))
            if first_uid <= uid < first_uid + count and status is not None and status[0] not in "ZX":
                found.add(Process(int(folder.name), status[2]))
    return found


def wait_until_gone(processes: set[Process], timeout_seconds: float) -> tuple[set[Process], float]:
    """Those that are left after the timeout, and how long the others took, in seconds."""
    began = time.monotonic()
    left = {process for process in processes if process.alive}
    while left and time.monotonic() - began < timeout_seconds:
        time.sleep(GLANCE_SECONDS)
        left = {process for process in left if process.alive}
    return left, time.monotonic() - began


def sockets(settings: Settings) -> set[str]:
    """What lies in the folder of sockets, but the API's own."""
    if not settings.sockets.is_dir():
        return set()
    return {entry.name for entry in settings.sockets.iterdir()} - {settings.api_socket.name}


def mounts() -> int:
    """Of this process's own mount namespace, which is the host's."""
    return len(Path("/proc/self/mountinfo").read_text().splitlines())


def cgroups(settings: Settings) -> set[str]:
    """Control groups of one host, in every hierarchy that is mounted; the root of its tree included."""
    name = tree_name(settings.state_dir)
    return {str(found) for found in Path("/sys/fs/cgroup").rglob(name) if found.is_dir()}
