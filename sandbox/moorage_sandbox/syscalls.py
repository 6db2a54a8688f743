"""Raw system calls for which the standard library has no name on every Python from 3.9.

``_ctypes`` is used directly: importing ``ctypes`` costs 3 ms, and a freshly started worker pays for each of them.
"""

from __future__ import annotations

import _ctypes
import os
from typing import Any, Optional, Union

from moorage_sandbox.numbers import NUMBERS


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg] # noqa: SLF001 - the base class of ctypes.c_long
    _type_ = "l"


class _UnsignedLong(_ctypes._SimpleCData):  # type: ignore[type-arg] # noqa: SLF001 - the base class of ctypes.c_ulong
    _type_ = "L"


class _Char(_ctypes._SimpleCData):  # type: ignore[type-arg] # noqa: SLF001 - the base class of ctypes.c_char
    _type_ = "c"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Long


MACHINE = os.uname().machine
_numbers = NUMBERS.get(MACHINE, {})
_libc: Any = _ctypes
_syscall: Any = _Function(_libc.dlsym(_libc.dlopen(None, 0), "syscall"))

Argument = Union[int, bytes, None]


def syscall(name: str, *arguments: Argument) -> int:
    """Calls the kernel by name; raises OSError, whose text names the call."""
    if name not in _numbers:
        raise OSError(38, f"{name} has no number on {MACHINE}")
    words = (_UnsignedLong(word & 0xFFFF_FFFF_FFFF_FFFF) if isinstance(word, int) else word for word in arguments)
    result: int = _syscall(_Long(_numbers[name]), *words)
    if result < 0:
        errno = _ctypes.get_errno()
        raise OSError(errno, f"{name}: {os.strerror(errno)}")
    return result


class Buffer:
    """Bytes at an address that the kernel may read, for as long as this object lives."""

    def __init__(self, data: bytes) -> None:
        kind: Any = type("_Bytes", (_ctypes.Array,), {"_type_": _Char, "_length_": len(data)})
        self._array = kind.from_buffer_copy(data)
        self.address: int = _ctypes.addressof(self._array)


# -- namespaces (sched.h) ------------------------------------------------------------------------------------------

CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000


def unshare(flags: int) -> None:
    syscall("unshare", flags)


def setns(fd: int, kind: int) -> None:
    syscall("setns", fd, kind)


# -- mounts (sys/mount.h) ------------------------------------------------------------------------------------------

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_RELATIME = 1 << 21
MNT_DETACH = 2


def mount(source: Optional[str], target: str, kind: Optional[str] = None, flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError that names both ends."""
    try:
        syscall(
            "mount",
            None if source is None else os.fsencode(source),
            os.fsencode(target),
            None if kind is None else kind.encode(),
            flags,
            options.encode() or None,
        )
    except OSError as error:
        what = f"mount of {source or 'flags'} on {target}"
        raise OSError(error.errno, f"{what}: {os.strerror(error.errno or 0)}") from None


def unmount(target: str) -> None:
    """Detaches the mount and all below it."""
    syscall("umount2", os.fsencode(target), MNT_DETACH)


def pivot_root(new_root: str, put_old: str) -> None:
    syscall("pivot_root", os.fsencode(new_root), os.fsencode(put_old))


def sethostname(name: str) -> None:
    syscall("sethostname", name.encode(), len(name.encode()))


# -- one process (prctl.h, capability.h) ---------------------------------------------------------------------------

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x2008_0522

LAST_FD = 0xFFFF_FFFF


def prctl(option: int, argument: int = 0) -> None:
    syscall("prctl", option, argument, 0, 0, 0)


def drop_capabilities() -> None:
    """Empties the effective, permitted and inheritable sets."""
    syscall("capset", _CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4), bytes(24))


def close_range(first: int, last: int = LAST_FD) -> None:
    """Closes every descriptor from the first to the last; needs Linux 5.9."""
    syscall("close_range", first, last, 0)


SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8


def load_filter(program: bytes, flags: int = 0) -> int:
    """Stacks a seccomp filter on this thread; needs no_new_privs. The program is an array of struct sock_filter.

    Returns 0, or with SECCOMP_FILTER_FLAG_NEW_LISTENER a descriptor, closed on exec, on which calls are told that the
    filter answers USER_NOTIF to.
    """
    instructions = Buffer(program)
    count = len(program) // 8
    header = Buffer(count.to_bytes(8, "little") + instructions.address.to_bytes(8, "little"))
    return syscall("seccomp", SECCOMP_SET_MODE_FILTER, flags, header.address)
