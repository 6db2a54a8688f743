"""What this machine offers to an ordinary user: where it has not got something, a control cannot escape by it."""

from __future__ import annotations

import ctypes
import resource
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from moorage_sandbox import landlock, syscalls


def _setting(name: str) -> int | None:
    """A kernel setting; None where this kernel has not got it."""
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return None


def _at_most(name: str, most: int) -> str:
    value = _setting(name)
    return f"{name.replace('/', '.')} is {value}" if value is not None and value > most else ""


def _at_least(name: str, least: int) -> str:
    value = _setting(name)
    return f"{name.replace('/', '.')} is {value}" if value is not None and value < least else ""


def _user_namespaces() -> str:
    return (
        _at_least("user/max_user_namespaces", 1)
        or _at_least("kernel/unprivileged_userns_clone", 1)
        or _at_most("kernel/apparmor_restrict_unprivileged_userns", 0)
    )


def _answers(name: str, *arguments: int | bytes | None) -> str:
    """Whether the kernel has a call at all, as this process is told."""
    try:
        syscalls.syscall(name, *arguments)
    except OSError as error:
        enosys = 38
        return f"this kernel has no {name}" if error.errno == enosys else ""
    return ""


def _cores() -> str:
    return "" if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0 else "its hard limit of core dumps is 0"


def _socket(family: int, kind: int) -> str:
    try:
        socket.socket(family, kind).close()
    except OSError as error:
        return f"this kernel answers {error.strerror}"
    return ""


def _ipv6() -> str:
    try:
        with socket.socket(socket.AF_INET6) as server:
            server.bind(("::1", 0))
    except OSError as error:
        return f"::1 is not there: {error.strerror}"
    return ""


def _file(path: str) -> str:
    return "" if Path(path).exists() else f"there is no {path}"


#: Key of ``Row.needs`` to a function that says why it is missing, or "".
OFFERS: Mapping[str, Callable[[], str]] = {
    "ptrace": lambda: _at_most("kernel/yama/ptrace_scope", 0),
    "su": lambda: _file("/bin/su"),
    "cores": _cores,
    "user namespaces": _user_namespaces,
    "io_uring": lambda: _at_most("kernel/io_uring_disabled", 0) or _answers("io_uring_setup", 0, None),
    "keyrings": lambda: _file("/proc/keys"),
    "perf": lambda: _at_most("kernel/perf_event_paranoid", 2) or _answers("perf_event_open", None, 0, 0, 0, 0),
    "userfaultfd": lambda: _answers("userfaultfd", 0xFFFF),
    "modify_ldt": lambda: _answers("modify_ldt", 0, None, 0) if syscalls.MACHINE == "x86_64" else "x86_64 alone has it",
    "32-bit calls": lambda: _file("/proc/sys/abi/vsyscall32"),
    "IPv6": _ipv6,
    "vsock": lambda: _socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "Landlock": lambda: "" if landlock.abi() else "this kernel has no Landlock",
}


def lacks(needs: str) -> str:
    """Why the machine cannot do it; "" where it can."""
    return OFFERS[needs]() if needs else ""


class SharedSegment:
    """A System V segment that all may read, until it is closed."""

    _CREATE_FOR_ALL = 0o1666
    _REMOVE = 0

    def __init__(self, key: int, text: bytes) -> None:
        self.key = key
        self._segment = syscalls.syscall("shmget", key, 4096, self._CREATE_FOR_ALL)
        address = syscalls.syscall("shmat", self._segment, None, 0)
        ctypes.memmove(address, text, len(text))
        syscalls.syscall("shmdt", address)

    def close(self) -> None:
        syscalls.syscall("shmctl", self._segment, self._REMOVE, None)
