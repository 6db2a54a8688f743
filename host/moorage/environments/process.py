"""Runs a trusted program to its end: no shell, no inherited environment, a deadline, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

#: Between two looks at what a program has written.
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Finished:
    code: int
    stdout: str
    stderr: str


class WroteTooMuch(Exception):
    """The program was killed because of what it wrote."""


async def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: timedelta,
    stdin: str = "",
    most_written_bytes: int | None = None,
) -> Finished:
    """Runs it in the root folder, so that no file lying about configures it.

    ``most_written_bytes``: of this process alone, over all files together, as the kernel counts them every 50 ms.
    Raises OSError where it cannot be started, TimeoutError when it takes too long, WroteTooMuch. Ended early, it is
    killed with everything that it started.
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
            output = asyncio.create_task(
                process.communicate(stdin.encode() if stdin else None), name=f"output of {arguments[0]}"
            )
            try:
                await _watch(process, output, most_written_bytes)
            except BaseException:
                output.cancel()
                raise
            stdout, stderr = await output
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


async def _watch(
    process: asyncio.subprocess.Process, output: asyncio.Task[tuple[bytes, bytes]], most_written_bytes: int | None
) -> None:
    """Until it has ended; raises WroteTooMuch as soon as it has."""
    while not output.done():
        await asyncio.wait([output], timeout=_LOOK_SECONDS if most_written_bytes is not None else None)
        if most_written_bytes is not None and _written_bytes(process.pid) > most_written_bytes:
            raise WroteTooMuch


def _written_bytes(pid: int) -> int:
    """What its write calls took; 0 where it has ended, or nobody counts."""
    try:
        counts = Path(f"/proc/{pid}/io").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in counts.splitlines() if line.startswith("wchar:")), 0)


async def _kill(process: asyncio.subprocess.Process) -> None:
    """With everything that it has started; nothing where it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
