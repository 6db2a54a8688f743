"""A worker's own entries of /proc, and nothing else of it.

The whole of a /proc, even with subset=pid, names folders of the host: every mountinfo tells from where each folder was
mounted, and there is one for every thread. So the real one is mounted out of the way, the entries below are bound from
it, and it is let go of.
"""

# ruff: noqa: PTH102, PTH112, PTH211 - pathlib costs milliseconds in every fresh worker

from __future__ import annotations

import os

from moorage_sandbox import syscalls
from moorage_sandbox.setup import step
from moorage_sandbox.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT, mount

WHOLE = "/.proc"
#: Of the worker's process: none names a path that the worker could not see itself.
ENTRIES = (
    "cmdline",
    "comm",
    "fd",
    "fdinfo",
    "limits",
    "maps",
    "smaps",
    "smaps_rollup",
    "stat",
    "statm",
    "status",
)

_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC


def mount_own() -> None:
    """The folders WHOLE and /proc exist. The pid namespace must be the worker's own."""
    own = str(os.getpid())
    with step("proc"):
        mount("proc", WHOLE, "proc", _FLAGS, "subset=pid,hidepid=2")
    mount("proc", "/proc", "tmpfs", _FLAGS, "mode=0755,size=64k,nr_inodes=64")
    os.mkdir(f"/proc/{own}", 0o755)
    os.symlink(own, "/proc/self")
    for name in ENTRIES:
        _bind(f"{WHOLE}/{own}/{name}", f"/proc/{own}/{name}")
    syscalls.unmount(WHOLE)
    mount(None, "/proc", None, MS_BIND | MS_REMOUNT | MS_RDONLY | _FLAGS)


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.mkdir(target, 0o755)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    mount(source, target, None, MS_BIND)
    mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | _FLAGS)
