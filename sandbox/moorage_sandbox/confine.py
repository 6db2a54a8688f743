"""What a worker gives up for good: limits, identity, capabilities, files, system calls. Each step is irrevocable."""

from __future__ import annotations

import os
import resource
from functools import lru_cache
from typing import Iterable, Tuple

from moorage_sandbox import landlock, seccomp, syscalls
from moorage_sandbox.numbers import NUMBERS
from moorage_sandbox.setup import step


def set_limits(limits: Iterable[Tuple[str, int]]) -> None:
    """Sets soft and hard limits; a lower hard limit of the host stays."""
    for name, value in limits:
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def drop_privileges(uid: int, gid: int, *, change_user: bool) -> None:
    """No capability, no way to gain one and, as root, another user."""
    if change_user:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_capabilities()):
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
    if change_user:
        os.setresuid(uid, uid, uid)
    syscalls.drop_capabilities()
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def _capabilities() -> int:
    """How many capabilities this kernel has: PR_CAPBSET_READ answers EINVAL from there on."""
    pr_capbset_read = 23
    for capability in range(64):
        try:
            syscalls.prctl(pr_capbset_read, capability)
        except OSError:
            return capability
    return 64


@lru_cache(maxsize=1)
def native_filter() -> bytes:
    """The filter for this machine; the zygote assembles it once for all its workers."""
    return seccomp.program(syscalls.MACHINE, NUMBERS[syscalls.MACHINE])


def seal(files: Iterable[Tuple[str, str]]) -> int:
    """Landlock and the system call filter. Returns the Landlock ABI that is in force, 0 without."""
    # Not dumpable: other processes of the same user cannot look into this one.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    with step("Landlock"):
        version = landlock.restrict(files)
    with step("seccomp"):
        syscalls.load_filter(native_filter())
    return version
