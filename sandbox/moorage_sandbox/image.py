"""Executing the interpreter anew inside a root: the zygote does once, a fresh worker does too."""

from __future__ import annotations

import os
import resource
from typing import NoReturn, Tuple

from moorage_sandbox.policy import THREAD_STACK_BYTES

#: Isolated, no site, no bytecode written, UTF-8 whatever the locale.
FLAGS = ("-I", "-S", "-B", "-X", "utf8")

_CODE = "import sys; sys.path.append({sdk!r}); from moorage_sandbox.{module} import main; main()"


def command(executable: str, code: str) -> Tuple[str, ...]:
    return (executable, *FLAGS, "-c", code)


def place(fd: int, target: int) -> None:
    """Moves a descriptor to a number, where the next image finds it."""
    if fd == target:
        os.set_inheritable(fd, True)
        return
    os.dup2(fd, target)
    os.close(fd)


def leave_note(data: bytes, fd: int) -> None:
    """Makes a descriptor from which the next image reads the data."""
    memory = os.memfd_create("plan", os.MFD_CLOEXEC)
    os.write(memory, data)
    os.lseek(memory, 0, os.SEEK_SET)
    place(memory, fd)


def read_note(fd: int) -> bytes:
    """Reads a descriptor from its start to its end, and closes it."""
    os.lseek(fd, 0, os.SEEK_SET)
    parts = iter(lambda: os.read(fd, 65536), b"")
    data = b"".join(parts)
    os.close(fd)
    return data


def call(executable: str, module: str, sdk: str = "/sdk") -> Tuple[str, ...]:
    """The command that runs ``moorage_sandbox.<module>.main()``; ``sdk`` is the folder of that package."""
    return command(executable, _CODE.format(module=module, sdk=sdk))


def bound_thread_stacks() -> None:
    """For the next image: glibc gives threads stacks of RLIMIT_STACK as it was at the start (pthread_create(3))."""
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    size = THREAD_STACK_BYTES if hard == resource.RLIM_INFINITY else min(THREAD_STACK_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (size, hard))


def free_main_stack() -> None:
    """In that image: its main thread's stack may grow up to the hard limit again."""
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))


def execute(executable: str, library_path: str, module: str, sdk: str = "/sdk") -> NoReturn:
    """Goes on as ``moorage_sandbox.<module>.main()`` in a new image of the interpreter; descriptors stay open.

    An executable that names its libpython by the host's path finds it by LD_LIBRARY_PATH.
    """
    bound_thread_stacks()
    arguments = call(executable, module, sdk)
    env = {"LD_LIBRARY_PATH": library_path} if library_path else {}
    os.execve(executable, arguments, env)  # noqa: S606 - no shell is meant
