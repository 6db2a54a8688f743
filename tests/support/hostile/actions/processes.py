"""Actions 6 to 10, 33 to 39, 49 and 87: other processes, and what /proc tells of them."""

from __future__ import annotations

import ctypes
import os
import signal

from attacks.world import World, action

_PTRACE_SEIZE = 0x4206


def _proc(world: World, name: str) -> str:
    return world.outside(f"/proc/{world['bystander']}/{name}")


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(64)


@action
def host_proc_environ(world: World) -> bytes:
    return _read(_proc(world, "environ"))


@action
def host_proc_mem(world: World) -> None:
    with open(_proc(world, "mem"), "rb", buffering=0) as stream:
        stream.seek(world["address"])
        _expect_planted(stream.read(7))


@action
def host_proc_cmdline(world: World) -> bytes:
    return _read(_proc(world, "cmdline"))


@action
def host_proc_root(world: World) -> list:
    return os.listdir(_proc(world, "root"))


@action
def host_proc_fd(world: World) -> list:
    return os.listdir(_proc(world, "fd"))


@action
def ptrace_host(world: World) -> None:
    world.call("ptrace", _PTRACE_SEIZE, world["bystander"], 0, 0)


@action
def process_vm_readv_host(world: World) -> None:
    buffer = ctypes.create_string_buffer(7)
    local = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 7)
    remote = (ctypes.c_ulong * 2)(world["address"], 7)
    world.call("process_vm_readv", world["bystander"], local, 1, remote, 1, 0)
    _expect_planted(buffer.raw)


def _expect_planted(data: bytes) -> None:
    if data != b"planted":
        raise ValueError("other memory than was planted")


@action
def signal_host(world: World) -> None:
    os.kill(world["bystander"], 0)


@action
def kill_minus1_probe(world: World) -> None:
    """Everybody that it may signal. The kernel says yes even if it let none through: a bystander says what it heard.

    This signal is ignored by whoever did not ask for it.
    """
    os.kill(-1, signal.SIGWINCH)


@action
def pidfd_getfd_host(world: World) -> None:
    pidfd = world.call("pidfd_open", world["bystander"], 0)
    os.close(world.call("pidfd_getfd", pidfd, 1, 0))


@action
def kill_ns_init(world: World) -> None:
    """In a sandbox the first process is the worker itself, and the kernel drops the signal."""
    first = os.getpid() == 1
    os.kill(1, signal.SIGKILL if first else 0)
    if first:
        raise PermissionError(1, "still alive")


@action
def ptrace_ns_init(world: World) -> None:
    world.call("ptrace", _PTRACE_SEIZE, 1, 0, 0)


@action
def ptrace_self(world: World) -> None:
    """PTRACE_TRACEME: whoever started it may then look into it."""
    world.call("ptrace", 0, 0, 0, 0)


@action
def setns_host(world: World) -> None:
    fd = os.open(_proc(world, "ns/net"), os.O_RDONLY)
    world.call("setns", fd, 0)


@action
def mountinfo_leak(world: World) -> bytes:
    return _read(world.outside("/proc/self/mountinfo"))
