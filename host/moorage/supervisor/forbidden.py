"""The listener of one worker's system call filter: which forbidden call it made, and what becomes of it.

A call of the filter's list KILL does not fail and does not kill: it waits for whoever holds the listener, which is the
host alone (seccomp_unotify(2)). The host reads the number, keeps the name, and kills the worker. The call is never let
go on: there is an answer by which a listener could allow it, and it occurs nowhere here. Where the host is stopped or
dead the call waits, or fails with ENOSYS once the listener is closed; the worker still ends with its zygote.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import functools
import os
import select
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moorage_sandbox import syscalls
from moorage_sandbox.numbers import NUMBERS

# linux/seccomp.h: SECCOMP_IOCTL_NOTIF_RECV and _SEND.
_RECEIVE = 0xC050_2100
_SEND = 0xC018_2101
#: struct seccomp_notif: id, pid, flags, then struct seccomp_data: number, architecture, instruction pointer, arguments.
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
#: struct seccomp_notif_resp: id, value, negative errno, flags.
_RESPONSE = struct.Struct("=QqiI")

#: Errors other than EPERM, where libraries look for them.
_ERRNO: Mapping[str, int] = {"socket": errno.EAFNOSUPPORT, "socketpair": errno.EAFNOSUPPORT}
#: A call that was gone before it could be read: another thread's signal had interrupted it.
UNNAMED = ""


@dataclass(frozen=True)
class ForbiddenCall:
    #: "ptrace"; UNNAMED where it had gone before it could be read.
    name: str
    #: The thread that made it, as the host's pid namespace knows it; 0 with no name.
    thread: int


@functools.lru_cache(maxsize=512)
def call_name(number: int, machine: str = syscalls.MACHINE) -> str:
    """By the table of numbers; one that is in no table keeps its number."""
    names = {known: name for name, known in NUMBERS[machine].items()}
    return names.get(number, f"system call {number}")


class ForbiddenCalls:
    """Tells of each forbidden call, and refuses it where the worker is to go on. Owns the descriptor.

    ``refuse``: the worker is under development: the call fails with EPERM, and the worker goes on. Else nothing is
    answered, and whoever is told kills the worker.
    """

    def __init__(self, listener: int, told: Callable[[ForbiddenCall], None], *, refuse: bool = False) -> None:
        self._listener = listener
        self._told = told
        self._refuse = refuse
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener, self._readable)

    def close(self) -> None:
        """Calls that still wait fail with ENOSYS. May be called twice."""
        listener, self._listener = self._listener, -1
        if listener >= 0:
            self._loop.remove_reader(listener)
            os.close(listener)

    def _readable(self) -> None:
        # Reading blocks when there is nothing to read; there is something exactly where poll says so.
        events = _poll(self._listener)
        if events & select.POLLIN:
            call = self._receive()
        elif events:
            self.close()  # the last process under the filter is gone
            return
        else:
            call = ForbiddenCall(UNNAMED, 0)
        if call.name or not self._refuse:
            self._told(call)

    def _receive(self) -> ForbiddenCall:
        data = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, data)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return ForbiddenCall(UNNAMED, 0)
            raise
        identity, thread, _, number, *_ = _NOTIFICATION.unpack(data)
        name = call_name(number)
        if self._refuse:
            self._answer(identity, _ERRNO.get(name, errno.EPERM))
        return ForbiddenCall(name, thread)

    def _answer(self, identity: int, error: int) -> None:
        try:
            fcntl.ioctl(self._listener, _SEND, _RESPONSE.pack(identity, 0, -error, 0))
        except OSError as failure:
            # Its thread was interrupted, or is gone.
            if failure.errno not in (errno.ENOENT, errno.EINPROGRESS):
                raise


def _poll(descriptor: int) -> int:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return next((events for _, events in poll.poll(0)), 0)
