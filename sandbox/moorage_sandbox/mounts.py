"""Bind mounts and small file systems: the empty root, and what a worker sees in it."""

# ruff: noqa: PTH102, PTH103, PTH116, PTH120, PTH211 - pathlib costs milliseconds in every fresh worker

from __future__ import annotations

import os
import stat
from typing import Iterable, Tuple

from moorage_sandbox import syscalls
from moorage_sandbox.plan import Mount, WorkerPlan, ZygotePlan
from moorage_sandbox.syscalls import (
    MS_BIND,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_RELATIME,
    MS_REMOUNT,
    MS_SLAVE,
    mount,
)

#: Where the new root is put together. Everywhere there, and never the source of a mount: so it hides nothing.
SCAFFOLD = "/sys"
#: Where the host's tree stands in the base root, until a worker lets go of it.
HOST = "/.host"

_ACCESS_FLAGS = {
    "read": MS_NODEV | MS_RDONLY,
    "data": MS_NODEV | MS_NOEXEC,
    "socket": MS_NODEV | MS_NOEXEC | MS_RDONLY,
    "device": MS_NOEXEC,
}
_EMPTY = MS_NOSUID | MS_NODEV | MS_NOEXEC


def enter_base_root(plan: ZygotePlan) -> None:
    """Builds the root that all workers of a zygote share and enters it; the host's tree is left at HOST.

    The mount namespace must be the caller's own.
    """
    # A slave, not private: what the host unmounts must not stay busy here.
    mount(None, "/", None, MS_REC | MS_SLAVE)
    mount("moorage", SCAFFOLD, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m,nr_inodes=4096")
    for folder in plan.folders:
        os.makedirs(SCAFFOLD + folder, mode=0o755, exist_ok=True)
    for entry in plan.mounts:
        _make_target(entry.source, SCAFFOLD + entry.target)
        bind(entry, target_root=SCAFFOLD)
    for path, target in plan.links:
        os.makedirs(os.path.dirname(SCAFFOLD + path), mode=0o755, exist_ok=True)
        os.symlink(target, SCAFFOLD + path)
    os.mkdir(SCAFFOLD + HOST, 0o700)
    os.chdir(SCAFFOLD)
    syscalls.pivot_root(".", HOST.lstrip("/"))
    os.chdir("/")


def finish_root(plan: WorkerPlan, uid: int, gid: int) -> None:
    """Adds one worker's own folders, lets go of the host's tree, and makes the root read-only."""
    for entry in plan.mounts:
        bind(entry, source_root=HOST)
    options = f"mode=0700,uid={uid},gid={gid},size={plan.tmp_bytes},nr_inodes={plan.tmp_files}"
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - mount points of the worker's own root
        mount("tmp", folder, "tmpfs", _EMPTY, options)
    _make_etc(plan.etc)
    syscalls.unmount(HOST)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount(None, "/", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def bind(entry: Mount, source_root: str = "", target_root: str = "") -> None:
    """Binds one folder or file, without what is mounted below it, and restricts the new mount."""
    source, target = source_root + entry.source, target_root + entry.target
    mount(source, target, None, MS_BIND)
    flags = MS_NOSUID | _ACCESS_FLAGS[entry.access] | kept_flags(os.statvfs(target).f_flag)
    mount(None, target, None, MS_BIND | MS_REMOUNT | flags)


def kept_flags(statvfs_flags: int) -> int:
    """Restrictions that the source has: a user namespace may not take them away, and must name them again."""
    same = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME
    st_relatime = 4096
    return (statvfs_flags & same) | (MS_RELATIME if statvfs_flags & st_relatime else 0)


def _make_target(source: str, target: str) -> None:
    if stat.S_ISDIR(os.stat(source).st_mode):
        os.makedirs(target, mode=0o755, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _make_etc(files: Iterable[Tuple[str, str]]) -> None:
    mount("etc", "/etc", "tmpfs", _EMPTY, "mode=0755,size=64k,nr_inodes=16")
    for name, text in files:
        fd = os.open(f"/etc/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    mount(None, "/etc", None, MS_BIND | MS_REMOUNT | MS_RDONLY | _EMPTY)
