"""The first process of a worker that may have others, as the host holds it: its end is the end of them all."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from moorage_sandbox import evidence, wire
from moorage_sandbox.evidence import ProcessEvidence
from moorage_sandbox.judgement import SECCOMP_FILTER


class NotConfined(Exception):
    """The process above the plugin is not what it has to be."""


class FirstProcess:
    """Owns a pidfd and the socket on which it tells how the plugin ended."""

    def __init__(self, pidfd: int, status: socket.socket) -> None:
        self._pidfd = pidfd
        self._status = status

    def kill(self) -> None:
        """The kernel ends every process of its pid namespace with it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def told(self, own: int) -> int:
        """The plugin's wait status; where it was not told, the first process's own: then that was ended first."""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            data = self._status.recv(wire.MESSAGE_BYTES)
            if data:
                status: int = wire.decode(data)["ended"]
                return status
        return own

    def close(self) -> None:
        os.close(self._pidfd)
        self._status.close()


def first_process_of(plugin: int, status: socket.socket) -> FirstProcess:
    """``plugin`` is stopped and waits for the host's word. Keeps a copy of ``status``.

    Raises NotConfined, or OSError when it is gone.
    """
    pid = _parent(plugin)
    pidfd = os.pidfd_open(pid)
    try:
        check_confined(evidence.read_evidence(pid), evidence.read_evidence(plugin))
        copy = status.dup()
    except BaseException:
        os.close(pidfd)
        raise
    copy.setblocking(False)
    return FirstProcess(pidfd, copy)


def check_confined(first: ProcessEvidence, plugin: ProcessEvidence) -> None:
    """Raises NotConfined. Pure."""
    problems = {
        "it is not process 1 of the plugin's pid namespace": first.pids[-1] != 1
        or first.namespaces["pid"] is None
        or first.namespaces["pid"] != plugin.namespaces["pid"],
        "it has capabilities": bool(first.effective_capabilities or first.bounding_capabilities),
        "it could gain privileges": not first.no_new_privileges,
        "it has no system call filter": first.seccomp != SECCOMP_FILTER or first.filters != plugin.filters,
        "it has another user": first.uids != plugin.uids,
    }
    found = [problem for problem, present in problems.items() if present]
    if found:
        raise NotConfined(f"The process above the plugin is not confined: {'; '.join(found)}.")


def _parent(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").split("\n")
    return int(next(line for line in lines if line.startswith("PPid:")).split()[1])
