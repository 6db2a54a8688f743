"""What a worker may not do, refused as an error that libraries know: nothing dies of it. Copied beside its SDK."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading


@contextlib.contextmanager
def _refused(kind=PermissionError):
    try:
        yield
    except kind:
        return
    raise AssertionError("it was not refused")


def programs():
    for run in (subprocess.run, subprocess.check_output, subprocess.Popen):
        with _refused():
            run([sys.executable, "-c", ""])
    with _refused():
        os.fork()


def programs_of_asyncio():
    async def main():
        with _refused():
            await asyncio.create_subprocess_exec(sys.executable, "-c", "")

    asyncio.run(main())


def processes():
    import multiprocessing

    with _refused():
        multiprocessing.get_context("fork").Process(target=int).start()
    with _refused(OSError):
        multiprocessing.get_context("spawn").Process(target=int).start()


def shared_memory_with_a_tracker():
    """multiprocessing keeps track of it in a process of its own."""
    from multiprocessing import shared_memory

    with _refused(OSError):
        shared_memory.SharedMemory(create=True, size=4096)


def servers():
    with _refused(), socket.socket(socket.AF_UNIX) as server:
        server.bind(tempfile.mkdtemp() + "/listening")
    with _refused(OSError), socket.create_server(("127.0.0.1", 0)):
        pass


def the_network():
    with _refused(OSError):
        socket.create_connection(("127.0.0.1", 1), 1)


def the_machine():
    for path in ("/proc/self/status", "/sys/kernel", "/etc/shadow", "/usr/bin/env"):
        with _refused(OSError):
            os.stat(path)
            raise AssertionError(path)
    with _refused():
        os.listdir("/")


def goes_on_afterwards():
    for refused in (programs, servers, the_network):
        refused()
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


WORK = (
    programs,
    programs_of_asyncio,
    processes,
    shared_memory_with_a_tracker,
    servers,
    the_network,
    the_machine,
    goes_on_afterwards,
)
