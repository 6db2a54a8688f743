"""The host's own tree of control groups: one for each state folder, in it a group for each installation, and in that
one for each incarnation. What this machine and this user can have is tried, not guessed; the rest is told.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from moorage.supervisor import delegation
from moorage.supervisor.delegation import NotDelegated
from moorage_sandbox import cgroup
from moorage_sandbox.cgroup import UNIFIED, Bounds, Group, Hierarchy
from moorage_sandbox.layers import missing_layer
from moorage_sandbox.report import CgroupFacts, MissingLayer, SandboxReport, in_cgroup

log = logging.getLogger(__name__)

#: What bounds a worker; the others count or kill.
BOUNDING = ("memory", "pids", "cpu")
PID_NAMESPACE = "pid namespace"

#: How long the kernel may take to empty a group that was killed. It takes some milliseconds.
EMPTY_SECONDS = 5.0


@dataclass(frozen=True)
class Available:
    """What control groups give here."""

    #: "v1", "v2", "v1 and v2", or "none".
    version: str = "none"
    #: Of BOUNDING.
    controllers: tuple[str, ...] = ()
    #: How a whole tree of processes is killed: cgroup.KILL_FILE, FREEZER, SIGNALS, or PID_NAMESPACE without groups.
    kill: str = PID_NAMESPACE
    #: Why something is missing; empty where nothing is.
    reason: str = ""

    @property
    def words(self) -> str:
        if self.version == "none":
            return ""
        bounds = {"memory": "memory", "pids": "processes", "cpu": "CPU"}
        named = ", ".join(bounds[name] for name in self.controllers) or "no bounds"
        return f"{self.version}: {named}; kill by {self.kill}"

    @property
    def missing(self) -> MissingLayer | None:
        if set(BOUNDING) <= set(self.controllers):
            return None
        return missing_layer("cgroup", 0, self.reason)

    def in_report(self, report: SandboxReport) -> SandboxReport:
        """The report with this layer. It lowers no level: rlimits bound memory and processes as well."""
        grouped = in_cgroup(report, CgroupFacts(self.version, *(name in self.controllers for name in BOUNDING)))
        missing = grouped.missing if self.missing is None else (*grouped.missing, self.missing)
        return replace(
            grouped,
            layers={**report.layers, "cgroup": self.words or "missing"},
            missing=missing,
            kill=report.kill if self.kill == PID_NAMESPACE else self.kill,
        )

    def unenforced(self, cpus: float | None) -> str:
        """The sentence about a bound of a manifest that has no effect here; empty where all have."""
        if cpus is None or "cpu" in self.controllers:
            return ""
        return f"limits.cpus ({cpus:g}) has no effect here: {self.reason}"


NOTHING = Available(reason="Control groups are turned off with sandbox.cgroup.")


@dataclass
class Member:
    """The group of one incarnation."""

    group: Group
    installation: str
    generation: str
    bounds: Bounds


@dataclass
class _Installed:
    group: Group
    members: list[Member] = field(default_factory=list)

    def bounds(self) -> Bounds:
        """Workers of one generation share what one may use; a generation that is about to go has its own share."""
        share = self.members[-1].bounds
        count = len({member.generation for member in self.members})
        return Bounds(
            memory_bytes=None if share.memory_bytes is None else share.memory_bytes * count,
            pids=None if share.pids is None else share.pids * count,
            cpus=None if share.cpus is None else share.cpus * count,
        )


def tree_name(state_dir: Path) -> str:
    """One for each state folder: no other host's tree is ever touched."""
    return f"moorage-{hashlib.sha256(str(state_dir.absolute()).encode()).hexdigest()[:12]}"


class Cgroups:
    """Methods do quick I/O, mostly single writes, and may be called in any thread.

    ``where``: "auto", "off", or a folder below which the tree is made.
    """

    def __init__(self, state_dir: Path, where: str = "auto") -> None:
        self._name = tree_name(state_dir)
        self._where = where
        #: Remembers where trees were made: the next host may stand in other groups.
        self._note = state_dir / "run" / "cgroups.json"
        self._lock = threading.Lock()
        self._installed: dict[str, _Installed] = {}
        self._tree: Group | None = None
        self.available = NOTHING if where == "off" else Available(reason="Control groups were not looked for yet.")

    # -- the tree ------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Makes the tree where it can; ends and removes what an earlier host of this state folder left behind."""
        self._collect()
        if self._where == "off":
            return
        tree, self.available = find_tree(self._name, self._where)
        if tree is None:
            return
        self._note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._note.write_text(json.dumps(list(tree.distinct)))
        self._tree = tree

    def close(self) -> None:
        """Ends whatever still lives in the tree, and removes it. May be called twice."""
        tree, self._tree = self._tree, None
        if tree is not None:
            _clear(tree)
            self._note.unlink(missing_ok=True)

    def _collect(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for folder in json.loads(self._note.read_text()):
                if isinstance(folder, str) and Path(folder).name == self._name and Path(folder).is_dir():
                    _clear(Group({_key(folder): folder}))

    # -- members -------------------------------------------------------------------------------------------------

    def enter(self, installation: str, number: int, generation: str, bounds: Bounds) -> Member | None:
        """Makes an incarnation's group. None where there are no groups. Raises OSError; nothing is left then."""
        tree = self._tree
        if tree is None:
            return None
        with self._lock:
            group = tree.child(f"i-{installation}")
            installed = self._installed.setdefault(installation, _Installed(group))
            member = Member(group.child(str(number)), installation, generation, bounds)
            installed.members.append(member)
            try:
                cgroup.make(group)
                delegation.pass_on(group, self.available.controllers)
                cgroup.bound(group, installed.bounds(), self.available.controllers)
                cgroup.make(member.group)
                own = Bounds(bounds.memory_bytes, bounds.pids)
                cgroup.bound(member.group, own, self.available.controllers)
                delegation.end_together(member.group)
            except OSError:
                self._forget(member)
                raise
        return member

    def kill(self, member: Member) -> None:
        """Everything in an incarnation's group. Raises OSError."""
        with self._lock:
            installed = self._installed.get(member.installation)
            if installed is not None and member.bounds.cpus is not None:
                # Set again when it has left, for those that stay.
                cgroup.unthrottle(installed.group)
        cgroup.kill(member.group)

    def leave(self, member: Member) -> bool:
        """Removes an incarnation's group, and the installation's after its last. False: something lives in it."""
        with self._lock:
            return self._forget(member)

    def _forget(self, member: Member) -> bool:
        installed = self._installed.get(member.installation)
        if installed is None or member not in installed.members:
            return True
        installed.members.remove(member)
        gone = cgroup.remove(member.group)
        if installed.members:
            with contextlib.suppress(OSError):
                cgroup.bound(installed.group, installed.bounds(), self.available.controllers)
        else:
            del self._installed[member.installation]
            gone = cgroup.remove(installed.group) and gone
        return gone


@contextlib.contextmanager
def opened_to_join(group: Group | None) -> Iterator[tuple[int | None, tuple[int, ...]]]:
    """Descriptors with which a zygote lets its child begin inside: the version 2 folder, and "tasks" of version 1.

    None and () for what cannot be opened: then the host joins it.
    """
    with contextlib.ExitStack() as stack:
        unified: int | None = None
        tasks: list[int] = []
        for folder in () if group is None else group.distinct:
            try:
                if _key(folder) == UNIFIED:
                    unified = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    stack.callback(os.close, unified)
                else:
                    tasks.append(os.open(f"{folder}/tasks", os.O_WRONLY | os.O_CLOEXEC))
                    stack.callback(os.close, tasks[-1])
            except OSError as error:
                log.debug("%s cannot be opened for joining: %s", folder, error)
        yield unified, tuple(tasks)


def see_joined(group: Group, pid: int) -> None:
    """Joins the process where it is not a member yet, and looks again. Raises OSError."""
    missing = _missing(group, pid)
    if missing:
        cgroup.join(Group({key: group.folders[key] for key in missing}), pid)
        missing = _missing(group, pid)
    if missing:
        raise OSError(f"process {pid} is not in its control groups of {', '.join(missing)}")


def _missing(group: Group, pid: int) -> tuple[str, ...]:
    places, mounts = cgroup.read(f"/proc/{pid}/cgroup"), cgroup.read("/proc/self/mountinfo")
    present = cgroup.member_of(places, mounts, group.folders)
    return tuple(key for key in group.folders if key not in present)


def probe_cgroups(where: str) -> Available:
    """What a host would have that this process became. Groups are made and removed; no process and no control moves."""
    if where == "off":
        return NOTHING
    tree, available = find_tree(f"moorage-probe-{os.getpid()}", where, trial=True)
    if tree is not None:
        _clear(tree)
    return available


def find_tree(name: str, where: str, *, trial: bool = False) -> tuple[Group | None, Available]:
    """Makes the tree's folders in every hierarchy that has use and lets this user; the second says what came of it.

    As a trial, controllers that could be enabled count as if they were.
    """
    try:
        present = cgroup.hierarchies(cgroup.read("/proc/self/cgroup"), cgroup.read("/proc/self/mountinfo"))
    except OSError as error:
        return None, Available(reason=f"{error.filename}: {error.strerror}.")
    if not present:
        return None, Available(reason="No control group file system is mounted, or this process is outside of it.")
    folders: dict[str, str] = {}
    offered: frozenset[str] = frozenset()
    problems: list[str] = []
    # Version 2 first: where it is, it tells best what lives in the tree.
    for hierarchy in sorted(present, key=lambda each: -each.version):
        parent = _parent(hierarchy, where, present)
        if parent is None:
            return None, Available(reason=f"sandbox.cgroup: {where} is in no control group file system.")
        try:
            folders |= _make_in(hierarchy, parent, name)
            if hierarchy.version == 2:
                offered = delegation.offered(parent) if trial else delegation.give(parent, folders[UNIFIED])
        except NotDelegated as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{error.filename or parent}: {error.strerror or error}.")
    if not folders:
        return None, Available(reason=_told(problems))
    tree = Group(folders)
    # As a group all workers together would weigh as much as one process.
    cgroup.weigh(tree, os.cpu_count() or 1)
    return tree, _available(tree, offered, problems)


def _parent(hierarchy: Hierarchy, where: str, present: Sequence[Hierarchy]) -> str | None:
    """Where the host itself is, unless the settings name a place: a folder of any hierarchy, taken in all of them."""
    if where == "auto":
        folder = hierarchy.folder
        return str(Path(folder).parent) if Path(folder).name == delegation.HOST_LEAF else folder
    for part in present:
        if Path(where).is_relative_to(part.mount):
            return str(Path(hierarchy.mount, Path(where).relative_to(part.mount)))
    return None


def _make_in(hierarchy: Hierarchy, parent: str, name: str) -> dict[str, str]:
    folder = f"{parent}/{name}"
    _make_tree(folder)
    return dict.fromkeys(hierarchy.controllers or (UNIFIED,), folder)


def _make_tree(folder: str) -> None:
    group = Group({_key(folder): folder})
    _clear(group)
    Path(folder).mkdir(exist_ok=True)
    # A folder may be made by whoever may write there; a member needs this one, too.
    os.close(os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))


def _key(folder: str) -> str:
    """A folder alone does not tell its version, but what lies in it does."""
    return UNIFIED if Path(folder, "cgroup.controllers").exists() else "memory"


def _available(tree: Group, offered: frozenset[str], problems: list[str]) -> Available:
    unified = tree.folders.get(UNIFIED)
    offered |= set(tree.folders)
    legacy = [key for key in tree.folders if key != UNIFIED]
    version = "v1 and v2" if unified and legacy else "v2" if unified else "v1"
    controllers = tuple(name for name in BOUNDING if name in offered)
    lacking = [name for name in BOUNDING if name not in offered]
    reason = f"No {', no '.join(lacking)} controller can be had. {_told(problems)}".rstrip() if lacking else ""
    return Available(version, controllers, cgroup.kill_method(tree), reason)


def _told(problems: list[str]) -> str:
    return " ".join(dict.fromkeys(problems))


def _clear(group: Group) -> None:
    """Kills what lives in it and removes it with all below."""
    if not any(Path(folder).is_dir() for folder in group.distinct):
        return
    try:
        if cgroup.populated(group):
            cgroup.kill(group)
            cgroup.wait_until_empty(group, EMPTY_SECONDS)
    except OSError as error:
        log.warning("control group %s: %s", group.distinct[0], error)
    if not cgroup.remove(group):
        log.warning("control group %s could not be removed: something lives in it", group.distinct[0])
