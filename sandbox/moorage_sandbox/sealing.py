"""The last stage of every worker's sandbox, the same for forked and fresh ones: sealed, looked at, let go."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import Iterator, List

from moorage_sandbox import confine, wire
from moorage_sandbox.inner import InnerPlan
from moorage_sandbox.setup import SetupFailed, step


@contextmanager
def failures_reported() -> Iterator[None]:
    """A failed step is told to the host, and is the end: nothing runs half confined."""
    try:
        with step("setup"):
            yield
    except SetupFailed as error:
        os.write(wire.STATUS_FD, error.failure.as_json())
        os._exit(wire.SETUP_EXIT)


def seal(inner: InnerPlan) -> None:
    """The last layers; then waits until the host has looked at this process, and lets go of the status socket."""
    sealed = confine.seal(inner.files, inner.filter, inner.proxy_port)
    with step("host's consent"):
        proxy = wire.PROXY_FD if inner.proxy_port else -1
        told = {"landlock": sealed.landlock, "listener": sealed.listener >= 0, "proxy": proxy >= 0}
        _send(wire.encode(sealed=told), [fd for fd in (sealed.listener, proxy) if fd >= 0])
        if os.read(wire.STATUS_FD, 16) != wire.GO:
            raise RuntimeError("the host gave it up")
    os.close(wire.STATUS_FD)


def _send(message: bytes, fds: List[int]) -> None:
    """The descriptors go with the message, and are the host's alone from then on."""
    with socket.socket(fileno=os.dup(wire.STATUS_FD)) as status:
        socket.send_fds(status, [message], fds)
    for fd in fds:
        os.close(fd)
