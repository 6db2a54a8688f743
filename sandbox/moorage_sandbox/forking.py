"""How a zygote's child comes to be in its control groups before its first instruction, or right after it.

To move another process (write its pid to cgroup.procs) waits for a grace period of RCU: 5 to 15 ms, more than all the
rest of a start. Two ways do not. Version 2: clone3(2) with CLONE_INTO_CGROUP makes the child inside. Version 1: a lone
thread that writes 0 to "tasks" moves itself without that lock. Either needs what the host opened: the zygote sees no
cgroup file system, and its child is never outside for longer than the trusted code before its sandbox runs.
"""

from __future__ import annotations

import _ctypes
import os
import struct
from functools import lru_cache
from typing import Any, Dict, Iterable

from moorage_sandbox import syscalls
from moorage_sandbox.numbers import NUMBERS

_SIGCHLD = 17
_CLONE_CHILD_CLEARTID = 0x0020_0000
_CLONE_CHILD_SETTID = 0x0100_0000
_CLONE_INTO_CGROUP = 0x2_0000_0000
_PR_GET_TID_ADDRESS = 40
#: struct clone_args with the field "cgroup", linux/sched.h.
_CLONE_ARGS = struct.Struct("11Q")


class _Long(_ctypes._SimpleCData):  # type: ignore[type-arg] # noqa: SLF001 - the base class of ctypes.c_long
    _type_ = "l"


class _UnsignedLong(_ctypes._SimpleCData):  # type: ignore[type-arg] # noqa: SLF001 - the base class of ctypes.c_ulong
    _type_ = "L"


class _PythonFunction(_ctypes.CFuncPtr):
    """Called with the interpreter's lock held, as fork(2) is by os.fork."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Long


def fork_into(folder_fd: int) -> int:
    """os.fork, but the child begins in the version 2 group whose folder is open as ``folder_fd``.

    Only for a process of one thread: handlers of pthread_atfork do not run, which have nothing to do there.
    Raises OSError where the kernel, or what it was built with, does not offer it.
    """
    arguments = syscalls.Buffer(
        _CLONE_ARGS.pack(
            _CLONE_INTO_CGROUP | _CLONE_CHILD_SETTID | _CLONE_CHILD_CLEARTID,
            *(0, _tid_address(), 0, _SIGCHLD, 0, 0, 0, 0, 0),
            folder_fd,
        )
    )
    python = _functions()
    number, address = _Long(NUMBERS[syscalls.MACHINE]["clone3"]), _UnsignedLong(arguments.address)
    python["PyOS_BeforeFork"]()
    pid: int = python["syscall"](number, address, _Long(_CLONE_ARGS.size))
    if pid == 0:
        python["PyOS_AfterFork_Child"]()
        return 0
    error = _ctypes.get_errno()
    python["PyOS_AfterFork_Parent"]()
    if pid < 0:
        raise OSError(error, f"clone3: {os.strerror(error)}")
    return pid


@lru_cache(maxsize=1)
def _functions() -> Dict[str, Any]:
    libc: Any = _ctypes
    program = libc.dlopen(None, 0)
    names = ("syscall", "PyOS_BeforeFork", "PyOS_AfterFork_Child", "PyOS_AfterFork_Parent")
    return {name: _PythonFunction(libc.dlsym(program, name)) for name in names}


def _tid_address() -> int:
    """Where the C library keeps this thread's id: the kernel writes the child's own there, as fork(3) asks it to."""
    place = _UnsignedLong(0)
    syscalls.prctl(_PR_GET_TID_ADDRESS, _ctypes.addressof(place))
    return int(place.value)


def can_fork_into() -> bool:
    """Whether everything that ``fork_into`` needs is there, but for the kernel's own answer."""
    try:
        _functions()
        return _tid_address() != 0 and "clone3" in NUMBERS[syscalls.MACHINE]
    except (OSError, AttributeError, KeyError):
        return False


def join_self(task_fds: Iterable[int]) -> None:
    """Moves this thread, the only one of its process, into the groups whose "tasks" files are open."""
    for fd in task_fds:
        os.write(fd, b"0")
