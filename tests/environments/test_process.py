from __future__ import annotations

import asyncio
import os
import select
import sys
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from moorage.environments.process import run

LONG = timedelta(seconds=20)


async def test_a_program_gets_what_it_is_given_and_nothing_more() -> None:
    code = "import os, sys; print(sys.stdin.read(), sorted(os.environ), os.getcwd()); sys.exit(3)"
    finished = await run([sys.executable, "-I", "-c", code], environment={"A": "1"}, timeout=LONG, stdin="said")
    assert finished.code == 3
    assert finished.stdout.split("\n")[0] == f"said {sorted({'A', *_own()})} /"


def _own() -> set[str]:
    """What Python itself adds where the locale is C."""
    return {"LC_CTYPE"}


async def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError):
        await run(["/bin/sleep", "100"], environment={}, timeout=timedelta(milliseconds=50))


async def test_one_that_is_no_longer_wanted_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # The grandchild holds the pipe open as long as it lives.
    code = f"import subprocess; subprocess.run(['/bin/sleep', '100'], stdout=open({str(pipe)!r}, 'w'))"
    running = asyncio.create_task(run([sys.executable, "-I", "-c", code], environment={}, timeout=LONG))
    async with asyncio.timeout(10):
        stream = await asyncio.to_thread(pipe.open, "rb")
        running.cancel()
        with stream:
            with pytest.raises(asyncio.CancelledError):
                await running
            assert await asyncio.to_thread(stream.read) == b""


async def test_one_that_is_no_longer_wanted_while_it_is_started(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        command = ["/bin/sh", "-c", f"(echo; exec /bin/sleep 20) >'{pipe}' & wait"]
        running = asyncio.create_task(run(command, environment={}, timeout=LONG))
        # The loop stands still until the grandchild is there: `run` is where it was, waiting for the start.
        while not seen(stream, select.POLLIN, timeout_millis=100):
            await asyncio.sleep(0)

        running.cancel()

        await asyncio.wait([running], timeout=10)
        assert running.cancelled()
        assert seen(stream, select.POLLHUP, timeout_millis=1000)


def seen(pipe: BinaryIO, event: int, *, timeout_millis: int) -> bool:
    poll = select.poll()
    poll.register(pipe, event)
    return any(found & event for _, found in poll.poll(timeout_millis))
