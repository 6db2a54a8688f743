"""What a worker gives up for good: limits, identity, capabilities, files, system calls. Each step is irrevocable."""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Iterable, Tuple

from moorage_sandbox import landlock, seccomp, syscalls
from moorage_sandbox.numbers import NUMBERS
from moorage_sandbox.seccomp import Variant
from moorage_sandbox.setup import step

#: The filter of a worker to which nothing special was granted.
USUAL = Variant(listener=True)


def set_limits(limits: Iterable[Tuple[str, int]]) -> None:
    """Sets soft and hard limits; a lower hard limit of the host stays."""
    for name, value in limits:
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def drop_privileges(uid: int, gid: int, *, change_user: bool, empty_bounding_set: bool = True) -> None:
    """No capability, no way to gain one and, as root, another user.

    An ordinary user outside of a user namespace cannot empty the bounding set; without it nothing is gained either.
    """
    if change_user:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_capabilities() if empty_bounding_set else 0):
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


@lru_cache(maxsize=4)
def native_filter(variant: Variant = USUAL) -> bytes:
    """The filter for this machine; the zygote assembles the usual one once for all its workers."""
    return seccomp.program(syscalls.MACHINE, NUMBERS[syscalls.MACHINE], variant)


@dataclass(frozen=True)
class Sealed:
    #: The Landlock ABI that is in force, 0 without.
    landlock: int
    #: On which forbidden calls are told; -1 where the kernel gives none: there they kill at once.
    listener: int


def seal(files: Iterable[Tuple[str, str]], variant: Variant = USUAL, tcp_port: int = 0) -> Sealed:
    """Landlock and the system call filter. ``tcp_port``: the one that may be connected to; 0: none."""
    # Not dumpable: other processes of the same user cannot look into this one.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    with step("Landlock"):
        version = landlock.restrict(files, tcp_port)
    with step("seccomp"):
        return Sealed(version, _load(variant))


def _load(variant: Variant) -> int:
    """A kernel before 5.0 has no listeners; a process that has one already, as in some containers, gets no other."""
    if variant.listener:
        try:
            return syscalls.load_filter(native_filter(variant), syscalls.SECCOMP_FILTER_FLAG_NEW_LISTENER)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.EINVAL, errno.EPERM):
                raise
    syscalls.load_filter(native_filter(replace(variant, listener=False)))
    return -1


def seal_init() -> None:
    """For the first process of a worker that may have others: nothing but waiting, telling and ending is left."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    with step("seccomp"):
        syscalls.load_filter(seccomp.init_program(syscalls.MACHINE, NUMBERS[syscalls.MACHINE]))
