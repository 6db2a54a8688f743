"""Version 2's rules for handing controllers down a tree: which steps enable them for groups below the host's own.

A group that has processes of its own cannot give controllers to its children ("no internal processes", cgroup-v2.rst),
so a host that was given a group moves into a leaf of it. It does that only where nobody else lives in that group.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from moorage_sandbox import cgroup
from moorage_sandbox.cgroup import UNIFIED, Group

#: Where a host moves that was alone in a group of its own.
HOST_LEAF = "moorage-host"

WANTED = ("memory", "pids", "cpu")


class NotDelegated(Exception):
    """A sentence for the operator."""


@dataclass(frozen=True)
class Found:
    """A version 2 group, as its files tell."""

    folder: str
    #: cgroup.controllers: what it may give on.
    controllers: frozenset[str]
    #: cgroup.subtree_control: what it gives on.
    enabled: frozenset[str]
    #: cgroup.procs.
    processes: tuple[int, ...]
    #: The root of all groups, which may have processes and give on.
    root: bool


@dataclass(frozen=True)
class MakeFolder:
    path: str


@dataclass(frozen=True)
class WriteFile:
    path: str
    value: str


Step = MakeFolder | WriteFile


def steps_to_enable(found: Found, own_pid: int) -> tuple[Step, ...]:
    """Until the children of this group get all of WANTED that it has. Pure. Raises NotDelegated."""
    lacking = [name for name in WANTED if name in found.controllers and name not in found.enabled]
    if not lacking:
        return ()
    enable = WriteFile(f"{found.folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in lacking))
    if found.root or not found.processes:
        return (enable,)
    if set(found.processes) != {own_pid}:
        raise NotDelegated(
            f"Other processes live in the host's control group {found.folder}, so it cannot give controllers on. Start"
            " the host in a group of its own (systemd: Delegate=yes), or name one in sandbox.cgroup."
        )
    leaf = f"{found.folder}/{HOST_LEAF}"
    return (MakeFolder(leaf), WriteFile(f"{leaf}/cgroup.procs", str(own_pid)), enable)


def give(parent: str, folder: str) -> frozenset[str]:
    """Carries the steps out for the parent, and lets the folder below it pass on. What the folder's children get.

    Raises NotDelegated where the parent may not give what it has.
    """
    try:
        for step in steps_to_enable(_read(parent), os.getpid()):
            if isinstance(step, MakeFolder):
                Path(step.path).mkdir(exist_ok=True)
            else:
                cgroup.write(step.path, step.value)
        pass_on(Group({UNIFIED: folder}), WANTED)
        return enabled(folder)
    except OSError as error:
        raise _not_ours(parent, error) from error


def offered(parent: str) -> frozenset[str]:
    """What ``give`` would come to; nothing is changed. Raises NotDelegated."""
    try:
        found = _read(parent)
        for step in steps_to_enable(found, os.getpid()):
            if isinstance(step, WriteFile) and not os.access(step.path, os.W_OK) and not _is_new(step, found):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), step.path)
    except OSError as error:
        raise _not_ours(parent, error) from error
    return found.controllers & frozenset(WANTED)


def _is_new(step: WriteFile, found: Found) -> bool:
    """In a folder that would only be made."""
    return str(Path(step.path).parent) != found.folder


def _not_ours(folder: str, error: OSError) -> NotDelegated:
    return NotDelegated(
        f"{error.filename or folder}: {error.strerror}: this control group is not this user's to divide. Run the host"
        " as root, or in a delegated group (systemd: Delegate=yes)."
    )


def pass_on(group: Group, controllers: Iterable[str]) -> None:
    """Of a group that has no processes and never gets any: its children get what it has. Raises OSError."""
    folder = group.folders.get(UNIFIED)
    if folder is None:
        return
    has = frozenset(_words(f"{folder}/cgroup.controllers")) - enabled(folder)
    wanted = [f"+{name}" for name in controllers if name in has]
    if wanted:
        cgroup.write(f"{folder}/cgroup.subtree_control", " ".join(wanted))


def enabled(folder: str) -> frozenset[str]:
    """What the children of a version 2 group get."""
    return frozenset(_words(f"{folder}/cgroup.subtree_control"))


def end_together(group: Group) -> None:
    """When the kernel takes one of its processes for want of memory, it takes all. Version 2 alone can."""
    folder = group.folders.get(UNIFIED)
    if folder is not None and "memory" not in group.folders:
        with contextlib.suppress(FileNotFoundError):
            cgroup.write(f"{folder}/memory.oom.group", "1")


def _read(folder: str) -> Found:
    return Found(
        folder,
        frozenset(_words(f"{folder}/cgroup.controllers")),
        frozenset(_words(f"{folder}/cgroup.subtree_control")),
        tuple(int(word) for word in _words(f"{folder}/cgroup.procs")),
        root=not Path(folder, "cgroup.events").exists(),
    )


def _words(path: str) -> list[str]:
    return cgroup.read(path).split()
