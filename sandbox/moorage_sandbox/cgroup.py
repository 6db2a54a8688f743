"""Control groups, version 1 and 2: where they are, and what is done with one. See cgroups(7) and cgroup-v2.rst.

A group is one folder in each hierarchy that is used. On version 2 one hierarchy has everything; on version 1 each
controller has its own, and a version 2 hierarchy without controllers may stand beside them (systemd's "hybrid"): that
one gives the kill, and the word that a group is empty.
"""

# ruff: noqa: PTH103, PTH106, PTH110, PTH119, PTH123 - folders are keys and parts of names here, and each call is one system call

from __future__ import annotations

import errno
import os
import select
import signal
import time
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

#: What a version 1 hierarchy may give; "cpuacct" only counts.
CONTROLLERS = ("memory", "pids", "cpu", "cpuacct", "freezer")

#: The key of the version 2 hierarchy among a group's folders.
UNIFIED = "unified"

#: v1, cpu.cfs_period_us, and v2, cpu.max; in microseconds.
CPU_PERIOD = 100_000
#: The kernel takes no smaller quota.
_LEAST_QUOTA = 1_000

_RETRY_SECONDS = 0.001
#: Without a freezer a tree that forks may outrun one round of signals, but not many.
_KILL_ROUNDS = 50


# -- where ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hierarchy:
    """One mounted tree of control groups, and this process's place in it."""

    version: int
    #: Of CONTROLLERS, those that this hierarchy gives; of version 2, what stands in cgroup.controllers is asked later.
    controllers: Tuple[str, ...]
    mount: str
    #: The folder of the process that was asked about.
    folder: str


def hierarchies(cgroup: str, mountinfo: str) -> Tuple[Hierarchy, ...]:
    """From the texts of /proc/<pid>/cgroup and /proc/<pid>/mountinfo. Pure.

    Hierarchies in which the process's group lies outside what is mounted are left out.
    """
    places = _places(cgroup)
    found: Dict[Tuple[str, ...], Hierarchy] = {}
    for line in mountinfo.splitlines():
        fields, _, more = line.partition(" - ")
        words, kind = fields.split(), more.split()
        if len(words) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, mount = _unescaped(words[3]), _unescaped(words[4])
        version = 2 if kind[0] == "cgroup2" else 1
        controllers = () if version == 2 else tuple(word for word in kind[2].split(",") if word in CONTROLLERS)
        if version == 1 and not controllers:
            continue
        place = places.get("" if version == 2 else controllers[0])
        folder = None if place is None else _below(mount, root, place)
        if folder is not None:
            found.setdefault(controllers, Hierarchy(version, controllers, mount, folder))
    return tuple(found.values())


def mounts(mountinfo: str) -> Tuple[str, ...]:
    """Where control group file systems are mounted, by the text of /proc/<pid>/mountinfo. Pure."""
    found = []
    for line in mountinfo.splitlines():
        fields, _, more = line.partition(" - ")
        if more.split()[:1] in (["cgroup"], ["cgroup2"]):
            found.append(_unescaped(fields.split()[4]))
    return tuple(found)


def _places(cgroup: str) -> Dict[str, str]:
    """Controller to path; "" for version 2."""
    places = {}
    for line in cgroup.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            if controller or number == "0":
                places[controller] = path
    return places


def _below(mount: str, root: str, place: str) -> Optional[str]:
    """The folder of a group, when what is mounted is the tree below the group ``root``."""
    inside, place = root.rstrip("/"), place.rstrip("/")
    if (place != inside and not place.startswith(inside + "/")) or "/.." in place:
        return None
    return mount + place[len(inside) :]


def _unescaped(path: str) -> str:
    """mountinfo writes blanks as octal escapes."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(escape, character)
    return path


def member_of(cgroup: str, mountinfo: str, folders: Mapping[str, str]) -> Tuple[str, ...]:
    """Of a group's folders, the keys of those in which a process is, by its /proc/<pid>/cgroup. Pure."""
    places = {
        key: hierarchy.folder
        for hierarchy in hierarchies(cgroup, mountinfo)
        for key in (hierarchy.controllers or (UNIFIED,))
    }
    return tuple(key for key, folder in folders.items() if places.get(key) == folder)


# -- bounds --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bounds:
    """What a group may use; None for no bound of its own."""

    memory_bytes: Optional[int] = None
    pids: Optional[int] = None
    cpus: Optional[float] = None


def settings(version: int, bounds: Bounds) -> Tuple[Tuple[str, str, str], ...]:
    """Controller, file and value, in the order in which they must be written. Pure."""
    return _unified_settings(bounds) if version == 2 else _legacy_settings(bounds)


def _unified_settings(bounds: Bounds) -> Tuple[Tuple[str, str, str], ...]:
    found: List[Tuple[str, str, str]] = []
    if bounds.memory_bytes is not None:
        found += [
            ("memory", "memory.max", str(bounds.memory_bytes)),
            ("memory", "memory.swap.max", "0"),
        ]
    if bounds.pids is not None:
        found.append(("pids", "pids.max", str(bounds.pids)))
    if bounds.cpus is not None:
        found.append(("cpu", "cpu.max", f"{_quota(bounds.cpus)} {CPU_PERIOD}"))
    return tuple(found)


def _legacy_settings(bounds: Bounds) -> Tuple[Tuple[str, str, str], ...]:
    found: List[Tuple[str, str, str]] = []
    if bounds.memory_bytes is not None:
        # With swap: the sum may never be less than memory alone, so it goes up first and down last.
        found += [
            ("memory", "memory.memsw.limit_in_bytes", "-1"),
            ("memory", "memory.limit_in_bytes", str(bounds.memory_bytes)),
            ("memory", "memory.memsw.limit_in_bytes", str(bounds.memory_bytes)),
        ]
    if bounds.pids is not None:
        found.append(("pids", "pids.max", str(bounds.pids)))
    if bounds.cpus is not None:
        found += [
            ("cpu", "cpu.cfs_period_us", str(CPU_PERIOD)),
            ("cpu", "cpu.cfs_quota_us", str(_quota(bounds.cpus))),
        ]
    return tuple(found)


def _quota(cpus: float) -> int:
    return max(_LEAST_QUOTA, round(cpus * CPU_PERIOD))


#: Files that a kernel without swap accounting does not have; then there is nothing to bound.
SWAP_FILES = ("memory.swap.max", "memory.memsw.limit_in_bytes")


# -- one group -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """A group by its folders: UNIFIED, and on version 1 the names of controllers."""

    folders: Mapping[str, str]

    def child(self, name: str) -> Group:
        return Group({key: f"{folder}/{name}" for key, folder in self.folders.items()})

    @property
    def distinct(self) -> Tuple[str, ...]:
        """Each folder once: controllers may be mounted together."""
        return tuple(dict.fromkeys(self.folders.values()))

    def folder_of(self, controller: str) -> Optional[str]:
        return self.folders.get(controller, self.folders.get(UNIFIED))


def weigh(group: Group, weight: int) -> None:
    """Its share of CPU time where others want some, too; 1 is what one ordinary process or group has."""
    try:
        if "cpu" in group.folders:
            write(f"{group.folders['cpu']}/cpu.shares", str(1024 * weight))
        elif UNIFIED in group.folders:
            write(f"{group.folders[UNIFIED]}/cpu.weight", str(min(100 * weight, 10_000)))
    except FileNotFoundError:
        return


def unthrottle(group: Group) -> None:
    """Lifts its bound on CPU time: what is throttled takes its time to die."""
    try:
        if "cpu" in group.folders:
            write(f"{group.folders['cpu']}/cpu.cfs_quota_us", "-1")
        elif UNIFIED in group.folders:
            write(f"{group.folders[UNIFIED]}/cpu.max", "max")
    except FileNotFoundError:
        return


def make(group: Group) -> None:
    """Its folders; there they may be already. Raises OSError."""
    for folder in group.distinct:
        os.makedirs(folder, exist_ok=True)


def bound(group: Group, bounds: Bounds, controllers: Sequence[str] = CONTROLLERS) -> None:
    """Sets bounds, of these controllers alone. Raises OSError that names the file."""
    for version in (1, 2):
        for controller, file, value in settings(version, bounds):
            legacy = controller in group.folders
            if controller in controllers and legacy == (version == 1):
                _write_bound(f"{group.folders[controller if legacy else UNIFIED]}/{file}", value)


def _write_bound(path: str, value: str) -> None:
    try:
        write(path, value)
    except FileNotFoundError:
        if os.path.basename(path) not in SWAP_FILES:
            raise


def write(path: str, value: str) -> None:
    """One write(2), as these files want it. Raises OSError with the path."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    finally:
        os.close(fd)


def read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def join(group: Group, pid: int) -> None:
    """Moves a process. Raises OSError. Waits for the kernel's next grace period of RCU: some milliseconds."""
    for folder in group.distinct:
        write(f"{folder}/cgroup.procs", str(pid))


def processes(group: Group) -> Tuple[int, ...]:
    """Of the group and those below it, as this process's pid namespace knows them."""
    found: List[int] = []
    for folder in _downwards(_counting_folder(group)):
        try:
            found += [int(word) for word in read(f"{folder}/cgroup.procs").split()]
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
    return tuple(dict.fromkeys(found))


def _counting_folder(group: Group) -> str:
    return group.folders.get(UNIFIED) or group.distinct[0]


def _downwards(folder: str) -> List[str]:
    """The folder and all below it, parents first."""
    return [path for path, _, _ in os.walk(folder)]


def populated(group: Group) -> bool:
    """Whether a process lives in it or below; zombies do not count. A group that is gone is empty."""
    unified = group.folders.get(UNIFIED)
    if unified is None:
        return bool(processes(group))
    try:
        return counter(f"{unified}/cgroup.events", "populated") == 1
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return False
        raise


def counter(path: str, name: str) -> int:
    """From a file of names and numbers. 0 where the name is not there. Raises OSError."""
    for line in read(path).splitlines():
        word, _, value = line.partition(" ")
        if word == name:
            return int(value)
    return 0


def wait_until_empty(group: Group, timeout_seconds: float) -> bool:
    """Whether it became empty in time. The kernel wakes this on version 2; version 1 is asked again and again."""
    deadline = time.monotonic() + timeout_seconds
    unified = group.folders.get(UNIFIED)
    if unified is None or not os.path.exists(f"{unified}/cgroup.events"):
        return _ask_until_empty(group, deadline)
    try:
        fd = os.open(f"{unified}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return not populated(group)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        while b"populated 1" in os.pread(fd, 4096, 0):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poll.poll(left * 1000)
        return True
    except OSError as error:
        if error.errno == errno.ENODEV:  # it was removed meanwhile
            return True
        raise
    finally:
        os.close(fd)


def _ask_until_empty(group: Group, deadline: float) -> bool:
    while populated(group):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_RETRY_SECONDS)
    return True


# -- ends ----------------------------------------------------------------------------------------------------------

KILL_FILE, FREEZER, SIGNALS = "cgroup.kill", "freezer", "signals"


def kill_method(group: Group) -> str:
    """How ``kill`` will end what lives in it."""
    unified = group.folders.get(UNIFIED)
    if unified is not None and os.path.exists(f"{unified}/cgroup.kill"):
        return KILL_FILE
    return FREEZER if FREEZER in group.folders else SIGNALS


def kill(group: Group) -> None:
    """SIGKILL to everything in it and below, what is being forked included. A group that is gone is no error."""
    if kill_method(group) == KILL_FILE:
        try:
            write(f"{group.folders[UNIFIED]}/cgroup.kill", "1")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
        return
    for _ in range(_KILL_ROUNDS):
        # What is frozen cannot fork, and dies of SIGKILL when it thaws.
        freeze(group)
        try:
            alive = _signal_all(group)
        finally:
            thaw(group)
        if not alive:
            return
        time.sleep(_RETRY_SECONDS)


def _signal_all(group: Group) -> int:
    """How many were still there."""
    found = processes(group)
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return len(found)


def freeze(group: Group) -> None:
    """Asks that nothing in it runs any more; where there is no freezer, nothing happens."""
    _set_frozen(group, legacy="FROZEN", unified="1")


def thaw(group: Group) -> None:
    _set_frozen(group, legacy="THAWED", unified="0")


def _set_frozen(group: Group, *, legacy: str, unified: str) -> None:
    folder = group.folders.get(FREEZER)
    path, value = (f"{folder}/freezer.state", legacy) if folder else ("", unified)
    if not folder and UNIFIED in group.folders:
        path = f"{group.folders[UNIFIED]}/cgroup.freeze"
    if path and os.path.exists(path):
        write(path, value)


def remove(group: Group, timeout_seconds: float = 1.0) -> bool:
    """Its folders and all below. Whether they are gone: a group that is still populated stays."""
    deadline = time.monotonic() + timeout_seconds
    left = list(group.distinct)
    while True:
        left = [folder for folder in left if not _removed(folder)]
        if not left or time.monotonic() >= deadline:
            return not left
        time.sleep(_RETRY_SECONDS)


def _removed(folder: str) -> bool:
    for path in reversed(_downwards(folder)):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


# -- what it used --------------------------------------------------------------------------------------------------


def out_of_memory_kills(group: Group) -> int:
    """How many of its processes the kernel has killed for want of memory. 0 where nobody counts."""
    folder = group.folders.get("memory")
    try:
        if folder is not None:
            return counter(f"{folder}/memory.oom_control", "oom_kill")
        if UNIFIED in group.folders:
            return counter(f"{group.folders[UNIFIED]}/memory.events", "oom_kill")
    except OSError:
        pass
    return 0


def cpu_seconds(group: Group) -> Optional[float]:
    """Since it was made, of processes that are gone too. None where nobody counts."""
    try:
        if "cpuacct" in group.folders:
            return int(read(f"{group.folders['cpuacct']}/cpuacct.usage")) / 1e9
        if UNIFIED in group.folders:
            return counter(f"{group.folders[UNIFIED]}/cpu.stat", "usage_usec") / 1e6
    except (OSError, ValueError):
        pass
    return None


def memory_bytes(group: Group) -> Optional[int]:
    """What is charged to it now. None where nobody counts."""
    return _memory_figure(group, "memory.usage_in_bytes", "memory.current")


def peak_memory_bytes(group: Group) -> Optional[int]:
    return _memory_figure(group, "memory.max_usage_in_bytes", "memory.peak")


def _memory_figure(group: Group, legacy: str, unified: str) -> Optional[int]:
    folder, file = group.folders.get("memory"), legacy
    if folder is None:
        folder, file = group.folders.get(UNIFIED), unified
    try:
        return None if folder is None else int(read(f"{folder}/{file}"))
    except (OSError, ValueError):
        return None
