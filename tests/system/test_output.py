"""Workers that write whatever they like, from the first byte to the last: the log is true, and the host stays small."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.log import LogLine
from moorage.telemetry import capture
from moorage.telemetry.lines import CUT_MARK

TIMEOUT_SECONDS = 60
FLOOD_BYTES = 100 * 2**20
#: What the host may grow by while it takes the flood. Measured: less than a tenth of the flood's own size.
ALLOWED_BYTES = 40 * 2**20

CODE = """
    import ctypes
    import logging
    import os
    import subprocess
    import sys
    import threading
    from moorage_sdk import Plugin

    print("imported")
    plugin = Plugin()
    BLOCK = 2**20

    @plugin.task
    def flood(input: int) -> int:
        line = b"x" * 99 + b"\\n"
        block = line * (BLOCK // len(line))
        for _ in range(input // BLOCK):
            written = 0
            while written < len(block):
                written += os.write(2, block[written:])
        os.write(2, b"the end\\n")
        return (input // BLOCK) * (BLOCK // len(line)) + 1

    @plugin.task
    def endless(input: int) -> None:
        block = b"x" * BLOCK
        for _ in range(input // BLOCK):
            written = 0
            while written < len(block):
                written += os.write(1, block[written:])
        os.write(1, b"\\nthe end\\n")

    @plugin.task
    def write(input: bytes) -> None:
        os.write(1, input)

    @plugin.task
    def native() -> None:
        libc = ctypes.CDLL(None)
        libc.printf(b"from C %d\\n", 42)
        libc.fflush(None)

    @plugin.task
    def child() -> None:
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'from a child\\\\n')"], check=True)

    @plugin.task
    def close(log: logging.Logger) -> str:
        os.close(1)
        os.close(2)
        log.info("still here")
        return "done"

    @plugin.task
    def forever() -> None:
        for descriptor in (1, 2):
            threading.Thread(target=pour, args=(descriptor,), daemon=True).start()

    def pour(descriptor):
        while True:
            os.write(descriptor, b"y" * 65536)
"""


@pytest.fixture
async def probe(host: Host, tmp_path: Path) -> Host:
    await host.install(write_plugin(tmp_path, CODE))
    return host


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace is what makes a flood take long; here it takes seconds, and the host reads fifty times as much."""
    monkeypatch.setattr(capture, "WINDOW", capture.WINDOW / 50)


async def lines(host: Host) -> tuple[LogLine, ...]:
    return await host.logs(installation="probe", limit=100_000)


async def run(host: Host, task: str, given: object = None) -> object:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        execution = await host.run(ExecutionRequest("probe", task, given, timeout=timedelta(seconds=TIMEOUT_SECONDS)))
    assert execution.state is ExecutionState.SUCCEEDED, execution.error
    return execution.result


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def growth() -> AsyncIterator[list[int]]:
    """What this process, the host, grew by at most, in bytes, since the beginning."""
    gc.collect()
    # Or room that earlier tests have left would hide what this one takes.
    ctypes.CDLL(None).malloc_trim(0)
    start, most = resident_bytes(), [0]

    async def look() -> None:
        while True:
            most[0] = max(most[0], resident_bytes() - start)
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield most
    finally:
        looking.cancel()


async def test_a_flood_leaves_the_host_small_and_every_line_is_written_or_counted(probe: Host, hurried: None) -> None:
    await probe.start("probe")
    async with growth() as grown:
        written = await run(probe, "flood", FLOOD_BYTES)
        await probe.stop("probe")

    print(f"100 MB of output: the host grew by {grown[0] / 2**20:.1f} MiB")
    assert grown[0] < ALLOWED_BYTES
    found = await lines(probe)
    kept = [line for line in found if line.logger == "stderr"]
    dropped = [int(line.message.split()[0]) for line in found if "dropped" in line.message]
    assert dropped
    assert len(kept) + sum(dropped) == written
    assert kept[-1].message == "the end" or sum(dropped) > 0


def test_one_that_keeps_what_it_reads_grows_by_the_flood() -> None:
    """The control: the same output, read as subprocess.run does."""
    code = (
        "import os, subprocess, sys\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
        f"flood = 'import os\\nfor _ in range(100): os.write(1, b\"x\" * {2**20})'\n"
        "before = resident()\n"
        "kept = subprocess.run([sys.executable, '-I', '-S', '-c', flood], capture_output=True, check=True)\n"
        "print(resident() - before)\n"
    )
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True, timeout=TIMEOUT_SECONDS)
    print(f"100 MB of output, kept: it grew by {int(found.stdout) / 2**20:.1f} MiB")
    assert int(found.stdout) > FLOOD_BYTES * 0.8


async def test_one_endless_line_is_cut_and_takes_no_more_room(probe: Host, hurried: None) -> None:
    await probe.start("probe")
    async with growth() as grown:
        await run(probe, "endless", FLOOD_BYTES)
        await probe.stop("probe")

    print(f"one line of 100 MB: the host grew by {grown[0] / 2**20:.1f} MiB")
    assert grown[0] < ALLOWED_BYTES
    found = [line.message for line in await lines(probe) if line.logger == "stdout"]
    assert [len(message) < 17_000 for message in found] == [True] * len(found)
    assert found[-2].endswith(CUT_MARK)
    assert found[-1] == "the end"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"\x1b[2J\x1b[31mERROR host: all is lost\x1b[0m", "\\x1b[2JERROR host: all is lost"),
        (b"a\x00b\x07c\x9bd", "a\\x00b\\x07c\\x9bd"),
        ("\u202egnp.exe \u2066x\u2069".encode(), "\\u202egnp.exe \\u2066x\\u2069"),
        (b"\xff\xfe broken", "\\xff\\xfe broken"),
        (b"2026-11-20 ERROR moorage: forged", "2026-11-20 ERROR moorage: forged"),
        (b"over\rwritten", "over\\x0dwritten"),
        (b"key hunter2!; half: hunter", "key [masked]; half: hunter"),
        (b"x" * 15_990 + b"; hunter2!" + b"y" * 100, "x" * 15_990 + "; [masked]" + CUT_MARK),
    ],
)
async def test_what_could_mislead_a_reader_is_shown_as_what_it_is(probe: Host, written: bytes, shown: str) -> None:
    probe._parts.logs.set_secrets("probe", ["hunter2!"])
    await run(probe, "write", written + b"\n")
    await probe.stop("probe")
    (found,) = (line for line in await lines(probe) if line.message != "imported" and line.logger == "stdout")
    assert (found.message, found.level, found.installation) == (shown, 20, "probe")


async def test_the_first_byte_and_native_code_are_heard(probe: Host) -> None:
    await run(probe, "native")
    await probe.stop("probe")
    assert [line.message for line in await lines(probe) if line.logger == "stdout"] == ["imported", "from C 42"]


async def test_a_child_process_is_heard(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, CODE, required=["sandbox.subprocess"]), grant_required=True)
    await run(host, "child")
    await host.stop("probe")
    assert "from a child" in [line.message for line in await lines(host) if line.logger == "stderr"]


async def test_one_that_closes_its_output_goes_on_and_is_still_heard_by_its_logger(probe: Host) -> None:
    assert await run(probe, "close") == "done"
    await probe.stop("probe")
    found = await lines(probe)
    assert "still here" in [line.message for line in found]
    verdict = (await probe.installation("probe")).incarnations[0].verdict
    assert verdict is not None
    assert verdict.planned


async def test_one_that_fills_its_pipes_for_ever_is_stopped_in_time(probe: Host) -> None:
    """It never reads its input, and writes more than the host takes."""
    await run(probe, "forever")
    started = time.monotonic()
    report = await probe.stop("probe")
    took = time.monotonic() - started
    print(f"stopped in {took:.2f} s")
    assert report.processes == 1
    assert took < 1
