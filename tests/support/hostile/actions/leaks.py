"""Actions 86 and 88, and further ones: what a careless host leaves lying about."""

from __future__ import annotations

import ctypes
import os
import socket

from attacks.world import World, action

_SHM_RDONLY = 0o10000


@action
def inherited_fds(world: World) -> list:
    found = [fd for fd in range(3, 1024) if _is_open(fd)]
    if not found:
        raise OSError(9, "nothing but 0, 1 and 2")
    return found


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@action
def env_leak(world: World) -> str:
    return os.environ["STAGE_SECRET"]


@action
def read_host_name(world: World) -> str:
    name = socket.gethostname()
    if name != world["host_name"]:
        raise PermissionError(1, "another name")
    return name


@action
def attach_planted_shm(world: World) -> None:
    """A segment of System V shared memory that another program made for all."""
    key = world["shm_key"]
    segment = world.call("shmget", key, 0, 0)
    address = world.call("shmat", segment, None, _SHM_RDONLY)
    if ctypes.string_at(address, 7) != b"planted":
        raise ValueError("other memory than was planted")
