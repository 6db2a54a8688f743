"""A worker's first word, with its descriptors, and a start that is cancelled as it comes."""

from __future__ import annotations

import asyncio
import os
import socket

from moorage.supervisor.zygote_process import _first_word


def sockets() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_comes_with_its_descriptors() -> None:
    ours, theirs = sockets()
    with ours, theirs:
        socket.send_fds(theirs, [b"{}"], [0, 1])
        data, pid, fds = await _first_word(ours, asyncio.get_running_loop().create_future())
        assert (data, pid, len(fds)) == (b"{}", os.getpid(), 2)
        for fd in fds:
            os.close(fd)


async def test_cancelled_at_any_moment_it_leaves_no_descriptor() -> None:
    outcomes = set()
    for ticks in range(12):
        ours, theirs = sockets()
        with ours, theirs:
            before = open_descriptors()
            end: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
            word = asyncio.create_task(_first_word(ours, end))
            await settled()
            socket.send_fds(theirs, [b"{}"], [0, 1])
            for _ in range(ticks):
                await asyncio.sleep(0)
            word.cancel()
            await asyncio.wait((word,))
            outcomes.add(word.cancelled())
            if not word.cancelled():
                for fd in word.result()[2]:
                    os.close(fd)
            await settled()
            assert open_descriptors() == before
    assert outcomes == {True, False}
