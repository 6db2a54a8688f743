"""What an installation's data folder holds, and the watch that ends a worker which fills it.

Without a quota of the file system's nothing but looking bounds a folder, and looking is late: between two looks a
worker writes what the disk takes. What is found there is hostile: nothing is followed, and nothing but folders is
opened. The work is bounded by the limit itself, since counting stops there.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from moorage.clock import Clock, sleep
from moorage.models.incarnation import Verdict, VerdictKind
from moorage.supervisor.errors import NotRunnable
from moorage.supervisor.processes import has_lost_its_first_thread, stat_of
from moorage.supervisor.tree import MOST_DEPTH, opened

#: Between two looks; longer where looking takes long, so that it is never more than this part of a core.
INTERVAL = timedelta(seconds=2)
MOST_SHARE = 0.05

_BLOCK_BYTES = 512  # of st_blocks, stat(2)
#: Descriptors and mappings of a worker that are looked at for files without a name.
_MOST_OPEN = 4096


@dataclass(frozen=True)
class DataLimit:
    content_bytes: int
    #: Files and folders.
    files: int


@dataclass(frozen=True)
class DataUse:
    """What was counted; counting stops once it is too much."""

    content_bytes: int
    files: int
    #: What cannot be counted, and so is too much by itself.
    problem: str = ""

    def exceeds(self, limit: DataLimit) -> bool:
        return bool(self.problem) or self.content_bytes > limit.content_bytes or self.files > limit.files

    def words(self, limit: DataLimit) -> str:
        """What is too much."""
        if self.problem:
            return self.problem
        allowed = f"{_mebibytes(limit.content_bytes)} and {limit.files:,} files"
        if self.content_bytes > limit.content_bytes:
            return f"it holds {_mebibytes(self.content_bytes)} or more, and may hold {allowed}"
        return f"it holds more than {limit.files:,} files and folders, and may hold {allowed}"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB".replace(".0 MiB", " MiB")


def measure(folder: Path, limit: DataLimit) -> DataUse:
    """Counts what a folder takes of the disk, holes left out and each file once. Blocks for some 5 us an entry."""
    with opened(str(folder)) as descriptor:
        return _Counting(limit, os.fstat(descriptor).st_dev).folder(descriptor, 1)


_IN_FLIGHT = "it keeps descriptors in the queue of a socket, where what they hold cannot be counted"
_HEADLESS = "the first thread of one of its processes has ended while others go on, so that what they keep is not seen"


@dataclass(frozen=True)
class Unnamed:
    """What processes hold of a folder that is found in no folder any more."""

    #: Of files that are open or mapped and have no name.
    content_bytes: int = 0
    #: Why there may be more, which cannot be counted; empty: there is not.
    closed_to_us: str = ""


def unnamed(pids: Iterable[int], device: int) -> Unnamed:
    """Of all these processes together. Nothing where they may not be looked at."""
    found: dict[int, int] = {}
    closed_to_us = ""
    pids = tuple(pids)
    for path in (path for pid in pids for path in _open_files(pid)):
        with suppress(OSError):
            status = os.stat(path)  # noqa: PTH116 - it asks the file behind a descriptor, and opens nothing
            if stat.S_ISSOCK(status.st_mode):
                closed_to_us = closed_to_us or (_IN_FLIGHT if _holds_descriptors(path) else "")
            elif status.st_dev == device and status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                found[status.st_ino] = status.st_blocks * _BLOCK_BYTES
    if any(has_lost_its_first_thread(fields) for fields in map(stat_of, pids) if fields is not None):
        closed_to_us = _HEADLESS
    return Unnamed(sum(found.values()), closed_to_us)


def _holds_descriptors(socket: str) -> bool:
    """Linux 5.11 and later tell it. Before, nobody does."""
    lines = Path(socket.replace("/fd/", "/fdinfo/")).read_text().splitlines()
    return any(line.startswith("scm_fds:") and line.split()[1] != "0" for line in lines)


def _open_files(pid: int) -> Iterator[str]:
    for kind in ("fd", "map_files"):
        try:
            names = os.listdir(f"/proc/{pid}/{kind}")  # noqa: PTH208 - names alone
        except OSError:
            continue
        yield from (f"/proc/{pid}/{kind}/{name}" for name in names[:_MOST_OPEN])


class _Counting:
    def __init__(self, limit: DataLimit, device: int) -> None:
        self._limit = limit
        self._device = device
        self._bytes = self._files = 0
        #: Files with several names that were counted already.
        self._linked: set[int] = set()

    def folder(self, descriptor: int, depth: int) -> DataUse:
        if depth > MOST_DEPTH:
            return self._use(f"it has folders in folders, more than {MOST_DEPTH} deep")
        with os.scandir(descriptor) as entries:
            for entry in entries:
                use = self._entry(entry, descriptor, depth)
                if use.exceeds(self._limit):
                    return use
        return self._use()

    def _entry(self, entry: os.DirEntry[str], parent: int, depth: int) -> DataUse:
        self._files += 1
        try:
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                self._count(status)
                return self._use()
            self._bytes += status.st_blocks * _BLOCK_BYTES
            with opened(entry.name, parent) as inner:
                return self.folder(inner, depth + 1)
        except PermissionError:
            return self._use("it holds a folder that the host may not look into")
        except OSError:
            return self._use()  # gone, or another thing, meanwhile

    def _count(self, status: os.stat_result) -> None:
        if status.st_nlink > 1:
            if status.st_ino in self._linked:
                return
            self._linked.add(status.st_ino)
        self._bytes += status.st_blocks * _BLOCK_BYTES

    def _use(self, problem: str = "") -> DataUse:
        return DataUse(self._bytes, self._files, problem)


class DataWatch:
    """Of one worker, for as long as it lives. ``processes`` tells which it has at the moment."""

    def __init__(
        self, folder: Path, limit: Callable[[], DataLimit], processes: Callable[[], Iterable[int]], clock: Clock
    ) -> None:
        """``limit`` is asked at each look: grants may change."""
        self._folder = folder
        self._limit = limit
        self._processes = processes
        self._clock = clock
        #: What the last look could not look into. Once is no harm: a descriptor may be about to be received, or a
        #: process about to end.
        self._closed_to_us = ""

    async def over(self) -> Verdict:
        """Until the folder holds too much; why the worker has to end."""
        pause = INTERVAL
        while True:
            await sleep(self._clock, pause)
            begun = self._clock.elapsed()
            limit = self._limit()
            use = await asyncio.to_thread(self._measure, limit)
            if use.exceeds(limit):
                return Verdict(
                    VerdictKind.DISK_FULL,
                    f"The worker filled its data folder: {use.words(limit)} ({_BOUNDS}). The host ended it. It does not"
                    " start again until there is room.",
                )
            pause = max(INTERVAL, (self._clock.elapsed() - begun) / MOST_SHARE)

    def _measure(self, limit: DataLimit) -> DataUse:
        try:
            use = measure(self._folder, limit)
            hidden = unnamed(self._processes(), self._folder.stat().st_dev)
        except OSError:
            return DataUse(0, 0)  # it is being put back, or removed
        before, self._closed_to_us = self._closed_to_us, hidden.closed_to_us
        problem = hidden.closed_to_us if before == hidden.closed_to_us else ""
        return DataUse(use.content_bytes + hidden.content_bytes, use.files, use.problem or problem)


#: Where the bounds come from.
_BOUNDS = "its grant storage.use, and the limits data and data_files of its manifest"


def check_room(installation: str, folder: Path, limit: DataLimit) -> None:
    """Raises NotRunnable where the folder already holds too much. Blocks as long as ``measure``."""
    use = measure(folder, limit)
    if use.exceeds(limit):
        raise NotRunnable(
            installation,
            f"its data folder is full: {use.words(limit)}. Make room in {folder}, or let it have more ({_BOUNDS}).",
        )
