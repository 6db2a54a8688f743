"""Runs a trusted program to its end: no shell, no inherited environment, a deadline, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Finished:
    code: int
    stdout: str
    stderr: str


async def run(
    arguments: Sequence[str], *, environment: Mapping[str, str], timeout: timedelta, stdin: str = ""
) -> Finished:
    """Runs it in the root folder, so that no file lying about configures it.

    Raises OSError where it cannot be started, TimeoutError when it takes too long. Ended early, it is killed with
    everything that it started.
    """
    starting = asyncio.create_task(_start(arguments, environment, pipe_in=bool(stdin)), name=f"start {arguments[0]}")
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # asyncio would kill the program alone, and not what it has started meanwhile.
        with contextlib.suppress(OSError):  # it could not be started
            await _kill(await starting)
        raise
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            stdout, stderr = await process.communicate(stdin.encode() if stdin else None)
    finally:
        await _kill(process)
    assert process.returncode is not None
    return Finished(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


async def _start(
    arguments: Sequence[str], environment: Mapping[str, str], *, pipe_in: bool
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *arguments,
        # No pipe where nothing is written: uvloop fails on closing one whose reader has exited already.
        stdin=asyncio.subprocess.PIPE if pipe_in else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
        cwd="/",
        start_new_session=True,
    )


async def _kill(process: asyncio.subprocess.Process) -> None:
    """With everything that it has started; nothing where it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
