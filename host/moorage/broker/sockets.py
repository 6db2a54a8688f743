"""What the kernel knows of this process's own Unix sockets; gRPC does not show its connections."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
from collections.abc import Iterator
from pathlib import Path


def living(path: Path) -> int:
    """Connections that were accepted on a path and whose other end still stands. 0 where there is no /proc."""
    name = os.fsencode(path)
    return sum(_accepted_on(name, descriptor) and not _hung_up(descriptor) for descriptor in _copies())


def _copies() -> Iterator[int]:
    """A copy of each socket's descriptor, one after the other: gRPC's threads may close theirs at any moment."""
    try:
        names = os.listdir("/proc/self/fd")  # noqa: PTH208 - numbers, not paths
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.stat(int(name)).st_mode):  # noqa: PTH116 - a descriptor, not a path
                continue
            copy = os.dup(int(name))
            try:
                yield copy
            finally:
                os.close(copy)


def _accepted_on(name: bytes, descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as found:
        if found.family != socket.AF_UNIX or found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        return os.fsencode(found.getsockname()) == name


def _hung_up(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    return any(events & (select.POLLHUP | select.POLLRDHUP | select.POLLERR) for _, events in poll.poll(0))
