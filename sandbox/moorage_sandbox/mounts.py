"""Bind mounts and small file systems: the empty root, and what a worker sees in it."""

# ruff: noqa: PTH102, PTH103, PTH116, PTH119, PTH120, PTH211 - pathlib costs milliseconds in every fresh worker

from __future__ import annotations

import os
import stat
from typing import Iterable, Tuple

from moorage_sandbox import proc, syscalls
from moorage_sandbox.plan import Mount, WorkerPlan, ZygotePlan
from moorage_sandbox.setup import step
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
#: Where a root of a worker's own is put together: nothing of the worker's stands there yet.
OWN_SCAFFOLD = "/tmp"  # noqa: S108 - in the base root
#: Where the base root stands in it, until the worker lets go of that.
FORMER = "/.former"

_ACCESS_FLAGS = {
    "read": MS_NODEV | MS_RDONLY,
    "data": MS_NODEV | MS_NOEXEC,
    "socket": MS_NODEV | MS_NOEXEC | MS_RDONLY,
    "device": MS_NOEXEC,
    "files": MS_NODEV | MS_NOEXEC | MS_RDONLY,
    "granted device": MS_NOEXEC,
}
_EMPTY = MS_NOSUID | MS_NODEV | MS_NOEXEC


def enter_base_root(plan: ZygotePlan) -> None:
    """Builds the root that all workers of a zygote share and enters it; the host's tree is left at HOST.

    The mount namespace must be the caller's own.
    """
    # A slave, not private: what the host unmounts must not stay busy here.
    mount(None, "/", None, MS_REC | MS_SLAVE)
    _build_root(SCAFFOLD, plan.mounts, plan.links, plan.folders)
    _enter_root(SCAFFOLD, HOST)


def finish_root(plan: WorkerPlan, uid: int, gid: int) -> None:
    """Adds one worker's own folders, lets go of the host's tree, and makes the root read-only."""
    host = former = HOST
    if plan.own_root is not None:
        root = plan.own_root
        _build_root(OWN_SCAFFOLD, root.mounts, root.links, root.folders, source_root=HOST)
        _enter_root(OWN_SCAFFOLD, FORMER)
        host, former = FORMER + HOST, FORMER
    for entry in plan.mounts:
        bind(entry, source_root=host)
    options = f"mode=0700,uid={uid},gid={gid},size={plan.tmp_bytes},nr_inodes={plan.tmp_files}"
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108 - mount points of the worker's own root
        mount("tmp", folder, "tmpfs", _EMPTY, options)
    _make_etc(plan.etc)
    for entry in plan.openings:
        _make_target(host + entry.source, entry.target)
        bind(entry, source_root=host)
    mount(None, "/etc", None, MS_BIND | MS_REMOUNT | MS_RDONLY | _EMPTY)
    if plan.proc:
        proc.mount_own()
    if plan.init:
        _make_venv_executable(plan.executable)
    syscalls.unmount(former)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount(None, "/", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _build_root(
    scaffold: str,
    mounts: Iterable[Mount],
    links: Iterable[Tuple[str, str]],
    folders: Iterable[str],
    source_root: str = "",
) -> None:
    mount("moorage", scaffold, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m,nr_inodes=4096")
    for folder in folders:
        os.makedirs(scaffold + folder, mode=0o755, exist_ok=True)
    for entry in mounts:
        _make_target(source_root + entry.source, scaffold + entry.target)
        bind(entry, source_root, scaffold)
    for path, target in links:
        os.makedirs(os.path.dirname(scaffold + path), mode=0o755, exist_ok=True)
        os.symlink(target, scaffold + path)


def _enter_root(scaffold: str, former: str) -> None:
    """Makes what stands at the scaffold the root; the former root is left below it."""
    os.mkdir(scaffold + former, 0o700)
    os.chdir(scaffold)
    syscalls.pivot_root(".", former.lstrip("/"))
    os.chdir("/")


def _make_venv_executable(interpreter: str) -> None:
    """/venv/bin names the interpreter by a path of the host's: here it is made anew, of links that lead somewhere."""
    mount("bin", "/venv/bin", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k,nr_inodes=16")
    for name in {"python", "python3", os.path.basename(interpreter)}:
        os.symlink(interpreter, f"/venv/bin/{name}")
    _write_file("/venv/bin/pyvenv.cfg", f"home = {os.path.dirname(interpreter)}\n")
    mount("/venv/bin/pyvenv.cfg", "/venv/pyvenv.cfg", None, MS_BIND)
    mount(None, "/venv/pyvenv.cfg", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
    mount(None, "/venv/bin", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def bind(entry: Mount, source_root: str = "", target_root: str = "") -> None:
    """Binds one folder or file, without what is mounted below it, and restricts the new mount."""
    source, target = source_root + entry.source, target_root + entry.target
    mount(source, target, None, MS_BIND)
    if entry.identity:
        _check_identity(entry, os.stat(target))
    flags = MS_NOSUID | _ACCESS_FLAGS[entry.access] | kept_flags(os.statvfs(target).f_flag)
    mount(None, target, None, MS_BIND | MS_REMOUNT | flags)


def _check_identity(entry: Mount, found: os.stat_result) -> None:
    """Between the host's look at a path and the mount somebody may have put another thing in its place."""
    if (found.st_dev, found.st_ino) != entry.identity:
        with step("granted files"):
            raise RuntimeError(f"{entry.source} has become another file or folder since the host looked at it")


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
    mount("etc", "/etc", "tmpfs", _EMPTY, "mode=0755,size=64k,nr_inodes=256")
    for name, text in files:
        _write_file(f"/etc/{name}", text)


def _write_file(path: str, text: str) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
