"""Counting what a hostile folder holds, and ending the worker that fills it."""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from moorage.models.incarnation import VerdictKind
from moorage.supervisor import disk
from moorage.supervisor.disk import INTERVAL, DataLimit, DataWatch, check_room, measure, unnamed
from moorage.supervisor.errors import NotRunnable

MEBIBYTE = 1024 * 1024
LIMIT = DataLimit(content_bytes=8 * MEBIBYTE, files=100)


class HandClock:
    """Each sleep is over when the test says so."""

    def __init__(self) -> None:
        self.rings: asyncio.Queue[object] = asyncio.Queue()

    def elapsed(self) -> timedelta:
        return timedelta(0)

    def call_later(self, delay, callback):
        self.rings.put_nowait((delay, callback))
        return self

    def cancel(self) -> None:
        """Nothing is kept."""


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_what_is_there_is_counted(data) -> None:
    (data / "a").write_bytes(bytes(MEBIBYTE))
    (data / "in").mkdir()
    (data / "in" / "b").write_bytes(bytes(MEBIBYTE))
    use = measure(data, LIMIT)
    assert not use.exceeds(LIMIT)
    assert use.files == 3
    assert 2 * MEBIBYTE <= use.content_bytes < 3 * MEBIBYTE


def test_holes_and_second_names_take_no_room(data) -> None:
    with (data / "hole").open("wb") as file:
        file.truncate(1 << 40)
    (data / "one").write_bytes(bytes(5 * MEBIBYTE))
    os.link(data / "one", data / "two")
    assert not measure(data, LIMIT).exceeds(LIMIT)


@pytest.mark.parametrize("fill", ["bytes", "files", "folders", "depth"])
def test_too_much_of_anything_is_seen(data, fill) -> None:
    if fill == "bytes":
        (data / "big").write_bytes(bytes(9 * MEBIBYTE))
    elif fill == "depth":
        (data / "/".join(["d"] * 70)).mkdir(parents=True)
    else:
        for number in range(101):
            getattr(data / str(number), "mkdir" if fill == "folders" else "touch")()
    use = measure(data, LIMIT)
    assert use.exceeds(LIMIT)
    words = {"bytes": "9 MiB", "files": "100 files", "folders": "100 files", "depth": "deep"}[fill]
    assert words in use.words(LIMIT)
    with pytest.raises(NotRunnable) as refused:
        check_room("churn", data, LIMIT)
    assert str(data) in str(refused.value)
    assert "data_files" in str(refused.value)


def test_counting_stops_at_the_limit(data) -> None:
    for number in range(300):
        (data / str(number)).touch()
    assert measure(data, LIMIT).files == LIMIT.files + 1


def test_links_lead_nowhere_and_pipes_hold_nobody_up(data, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "big").write_bytes(bytes(9 * MEBIBYTE))
    (data / "link").symlink_to(outside)
    (data / "loop").symlink_to(data)
    os.mkfifo(data / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(data / "s"))
        use = measure(data, LIMIT)
    assert not use.exceeds(LIMIT)
    assert use.files == 4


def test_files_without_a_name_are_found(data) -> None:
    device = data.stat().st_dev
    before = unnamed([os.getpid()], device).content_bytes
    with (data / "open").open("wb+") as file, (data / "mapped").open("wb+") as mapped:
        for each in (file, mapped):
            each.write(bytes(2 * MEBIBYTE))
            each.flush()
        view = mmap.mmap(mapped.fileno(), 0)
        (data / "open").unlink()
        (data / "mapped").unlink()
        mapped.close()
        found = unnamed([os.getpid()], device).content_bytes - before
        view.close()
    # Only root may look at the files behind mappings.
    assert found >= (4 if os.geteuid() == 0 else 2) * MEBIBYTE


async def test_the_watch_ends_when_it_is_too_much(data) -> None:
    clock = HandClock()
    # No process's deleted files: this one, which runs tests, has some open.
    watch = asyncio.create_task(DataWatch(data, lambda: LIMIT, list, clock).over())
    async with asyncio.timeout(5):
        delay, ring = await clock.rings.get()
        assert delay == INTERVAL
        ring()
        _, ring = await clock.rings.get()
        assert not watch.done()
        (data / "big").write_bytes(bytes(9 * MEBIBYTE))
        ring()
        verdict = await watch
    assert verdict.kind is VerdictKind.DISK_FULL
    assert "9 MiB" in verdict.sentence


async def test_a_folder_that_goes_away_is_no_reason(data) -> None:
    clock = HandClock()
    watch = asyncio.create_task(DataWatch(data, lambda: LIMIT, lambda: [os.getpid()], clock).over())
    async with asyncio.timeout(5):
        _, ring = await clock.rings.get()
        data.rmdir()
        ring()
        await clock.rings.get()
    assert not watch.done()
    watch.cancel()


def test_the_same_file_of_two_processes_is_counted_once(data) -> None:
    device = data.stat().st_dev
    with (data / "open").open("wb") as file:
        file.write(bytes(MEBIBYTE))
        file.flush()
        (data / "open").unlink()
        once = unnamed([os.getpid()], device)
        assert unnamed([os.getpid(), os.getpid()], device) == once


async def test_descriptors_that_stay_on_their_way_are_too_much(data, monkeypatch) -> None:
    """In the queue of a socket a file without a name is in nobody's /proc."""
    clock = HandClock()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        # Of this process nothing else is looked at: what other tests have left open is not meant.
        own = [f"/proc/self/fd/{end.fileno()}" for end in (ours, theirs)]
        monkeypatch.setattr(disk, "_open_files", lambda _: own)
        watch = asyncio.create_task(DataWatch(data, lambda: LIMIT, lambda: [os.getpid()], clock).over())
        async with asyncio.timeout(5):
            for on_their_way in (True, False, True, True):
                _, ring = await clock.rings.get()
                if on_their_way:
                    with (data / "sent").open("wb") as file:
                        socket.send_fds(ours, [b"x"], [file.fileno()])
                else:
                    for received in socket.recv_fds(theirs, 16, 4)[1]:
                        os.close(received)
                ring()
            verdict = await watch
    assert verdict.kind is VerdictKind.DISK_FULL
    assert "queue of a socket" in verdict.sentence
