from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.telemetry.capture import TAIL_BYTES, OutputCapture
from moorage.telemetry.lines import CUT_MARK, LINE_BYTES, LineSplitter, text
from moorage.telemetry.logs import Logs

from .conftest import Clock, Sink


@pytest.fixture
async def logs(sink: Sink, clock: Clock) -> AsyncIterator[Logs]:
    opened = Logs(sink, now=clock, interval=timedelta(milliseconds=5))
    await opened.open()
    yield opened
    await opened.close()


async def captured(logs: Logs, script: str) -> OutputCapture:
    capture = OutputCapture("churn", "churn-1", logs)
    stdout, stderr = await capture.open()
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", script], stdout=stdout, stderr=stderr)
    capture.release_writers()
    async with asyncio.timeout(20):
        await capture.ended()
    process.wait(timeout=5)
    await capture.close()
    await capture.close()
    await logs.flush()
    return capture


async def test_both_streams_of_a_process_are_lines(logs: Logs, sink: Sink) -> None:
    capture = await captured(
        logs,
        "import sys, os; print('one'); sys.stdout.flush(); os.write(2, b'\\xff two\\n\\n'); print('no end', end='')",
    )
    lines = [(line.logger, line.level, line.message, line.incarnation) for line in sink.stored]
    assert [line for line in lines if line[0] == "stdout"] == [
        ("stdout", 20, "one", "churn-1"),
        ("stdout", 20, "no end", "churn-1"),
    ]
    assert [line for line in lines if line[0] == "stderr"] == [
        ("stderr", 30, "\\xff two", "churn-1"),
        ("stderr", 30, "", "churn-1"),
    ]
    assert set(capture.tail(10)) == {"one", "no end", "\\xff two", ""}
    assert capture.tail(1)[0] in ("no end", "")
    assert capture.tail(0) == ()


@pytest.mark.system
async def test_a_flood_is_slowed_down_counted_and_its_end_is_known(logs: Logs, sink: Sink) -> None:
    capture = await captured(
        logs, "import os\nfor n in range(10): os.write(1, b'flood\\n' * 5_000)\nos.write(1, b'the end\\n')"
    )
    counted = 0
    for line in sink.stored:
        counted += int(line.message.split()[0]) if line.logger == "moorage" else 1
    assert counted == 50_001
    assert len(sink.stored) < 20_000
    assert capture.tail(1) == ("the end",)


async def test_a_line_without_an_end_is_cut(logs: Logs, sink: Sink) -> None:
    await captured(logs, "import os\nos.write(1, b'x' * 200_000 + b'\\nshort\\n')")
    assert [line.message for line in sink.stored] == ["x" * LINE_BYTES + CUT_MARK, "short"]


async def test_what_a_dead_worker_left_in_the_pipe_is_taken(logs: Logs, sink: Sink) -> None:
    capture = OutputCapture("churn", "churn-1", logs)
    stdout, _ = await capture.open()
    keeps_it_open = os.dup(stdout)
    os.write(stdout, b"Traceback\nlast words")
    await capture.close()
    await logs.flush()

    assert [line.message for line in sink.stored] == ["Traceback", "last words"]
    with pytest.raises(BrokenPipeError):
        os.write(keeps_it_open, b"x")
    os.close(keeps_it_open)


async def test_an_unfinished_line_is_in_the_tail(logs: Logs) -> None:
    capture = OutputCapture("churn", "churn-1", logs)
    stdout, _ = await capture.open()
    os.write(stdout, b"whole\nunfin\x1bished")
    async with asyncio.timeout(5):
        while len(capture.tail(5)) < 2:
            await asyncio.sleep(0)
    assert capture.tail(5) == ("whole", "unfin\\x1bished")
    await capture.close()


async def test_no_descriptor_is_left(logs: Logs) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        capture = OutputCapture("churn", "churn-1", logs)
        await capture.open()
        await capture.close()
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.lists(st.binary(max_size=40).map(lambda part: part.replace(b"\r", b"")), max_size=8))
def test_lines_do_not_depend_on_how_the_bytes_arrive(parts: list[bytes]) -> None:
    whole, pieces = LineSplitter(), LineSplitter()
    expected = whole.feed(b"".join(parts)) + whole.finish()
    assert [line for part in parts for line in pieces.feed(part)] + pieces.finish() == expected


@given(st.lists(st.integers(min_value=0, max_value=3 * LINE_BYTES), max_size=4), st.integers(1, 5 * LINE_BYTES))
def test_long_lines_are_cut_wherever_the_bytes_are(lengths: list[int], step: int) -> None:
    data = b"\n".join(b"x" * length for length in lengths) + b"\n"
    splitter = LineSplitter()
    lines = [text(line) for start in range(0, len(data), step) for line in splitter.feed(data[start : start + step])]
    assert len(splitter.partial) <= LINE_BYTES
    assert lines == ["x" * min(n, LINE_BYTES) + (CUT_MARK if n > LINE_BYTES else "") for n in lengths or [0]]


async def test_the_last_words_are_bounded_in_bytes_too(logs: Logs) -> None:
    capture = await captured(logs, "import os\nfor n in range(20): os.write(1, b'%02d' % n + b'x' * 9_997 + b'\\n')")
    tail = capture.tail(200)
    assert [line[:2] for line in tail] == [f"{number:02}" for number in range(14, 20)]
    assert sum(map(len, tail)) <= TAIL_BYTES


async def test_what_is_diverted_is_neither_log_nor_last_words(logs: Logs, sink: Sink) -> None:
    capture = OutputCapture("churn", "churn-1", logs)
    taken: list[bytes] = []

    def cut(lines: list[bytes]) -> list[bytes]:
        taken.extend(line for line in lines if line.startswith(b"dump"))
        return [line for line in lines if not line.startswith(b"dump")]

    capture.divert(cut)
    stdout, stderr = await capture.open()
    os.write(stderr, b"one\ndump 1\ntwo\n")
    os.write(stdout, b"dump 2\n")
    await capture.close()
    await logs.flush()
    assert taken == [b"dump 1"]
    assert sorted(line.message for line in sink.stored) == ["dump 2", "one", "two"]
    assert sorted(capture.tail(9)) == ["dump 2", "one", "two"]
