"""A worker without a sandbox (level "none"): a process with a virtualenv's paths and limits, on any POSIX system.

It leads a session of its own, so that the host can end what it leaves behind as long as that stays in its process
group, and it ends when the host does. Neither holds against a plugin that does not want it.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from contextlib import suppress
from typing import Any, Dict, Iterable, Tuple

from moorage_sandbox import inner, program

CODE = (
    "import json, os, sys; order = json.load(os.fdopen(int(sys.argv[1]))); sys.path.append(order['sdk']); "
    "from moorage_sandbox.plain import main; main(order)"
)
#: Limits that are not there, or mean something else, on other systems.
_PORTABLE = ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_NPROC")

READY = b"ready"
GO = b"go"


def main(order: Dict[str, Any]) -> None:
    """``order``: "sdk" (folder of this package), "link" (descriptor of a socket to the host, who says GO), "uid" (whom
    to become, or None), "limits" (names of RLIMIT_ constants and values), "program" (a ProgramPlan).
    """
    link = socket.socket(fileno=order["link"])
    link.set_inheritable(False)
    os.umask(0o077)
    set_limits(order["limits"])
    if order["uid"] is not None:
        os.setgroups([])
        os.setgid(order["uid"])
        os.setuid(order["uid"])
    link.sendall(READY)
    if link.recv(len(GO)) != GO:
        os._exit(1)
    threading.Thread(target=_end_with_host, args=(link,), name="host", daemon=True).start()
    program.run(inner.program_from(order["program"]))


def set_limits(limits: Iterable[Tuple[str, int]]) -> None:
    """As far as this system has them; a lower hard limit of the host stays."""
    for name, value in limits:
        kind = getattr(resource, name, None)
        if kind is None or name not in _PORTABLE:
            continue
        _, hard = resource.getrlimit(kind)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (bound, bound))


def _end_with_host(link: socket.socket) -> None:
    """The host holds its end of the socket until it dies."""
    with suppress(OSError):
        link.recv(1)
    os.killpg(0, signal.SIGKILL)
