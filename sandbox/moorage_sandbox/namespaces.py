"""User namespaces and their maps (user_namespaces(7)).

A worker of an ordinary user lives in two of them. The zygote's maps 0 to the host's user, so that the zygote keeps its
power over its own mounts when it executes itself anew inside the base root. The worker's maps its own number to that 0,
and is made after the mounts: then it has no power over them.
"""

from __future__ import annotations

import os

from moorage_sandbox import syscalls


def enter_user_namespace(proc: int, uid: int, gid: int) -> None:
    """Moves this process into a new user namespace, where it is known as uid and gid.

    ``proc`` is a descriptor of /proc.
    """
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    _write(proc, "setgroups", "deny")
    _write(proc, "uid_map", f"{uid} {outer_uid} 1")
    _write(proc, "gid_map", f"{gid} {outer_gid} 1")


def _write(proc: int, name: str, text: str) -> None:
    fd = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
