"""A folder that a plugin filled, as a tar stream for people.

As in ``tree``: nothing is opened by a path, followed, or waited for. There are only folders and ordinary files in it;
links, pipes, sockets and devices are left out, for whoever unpacks it would have to distrust them. Processes of the
plugin may be alive meanwhile: a file that shrinks is filled up with zeros, one that grows is cut off.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from pathlib import Path

from moorage.supervisor.tree import Bounds, TreeRefused, opened

_BLOCK = 512
_CHUNK_BYTES = 256 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: Two empty blocks: POSIX, pax(1).
_END = bytes(2 * _BLOCK)


def archive(folder: Path, name: str, bounds: Bounds) -> Generator[bytes]:
    """The chunks of the archive, whose paths begin with ``name``. The first one comes after all was counted.

    Raises TreeRefused before the first chunk; OSError. Blocks: call it in a thread.
    """
    with opened(str(folder)) as top:
        _Counting(bounds, os.fstat(top).st_dev).folder(top, 1)
        yield from _Archiving(bounds, os.fstat(top).st_dev).folder(top, name, os.fstat(top), 1)
    yield _END


class _Counting:
    """Holes count: they are zeros in the archive."""

    def __init__(self, bounds: Bounds, device: int) -> None:
        self._bounds = bounds
        self._device = device
        self._bytes = self._entries = 0

    def folder(self, descriptor: int, depth: int) -> None:
        if depth > self._bounds.depth:
            raise TreeRefused(f"It has folders in folders, more than {self._bounds.depth} deep.")
        for name, status in _entries(descriptor, self._device):
            self._entries += 1
            self._bytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
            if self._entries > self._bounds.entries:
                raise TreeRefused(f"It has more than {self._bounds.entries} files and folders.")
            if self._bytes > self._bounds.content_bytes:
                raise TreeRefused(
                    f"Its files are longer than {self._bounds.content_bytes // 2**20} MiB, holes included."
                )
            if stat.S_ISDIR(status.st_mode):
                with opened(name, descriptor) as inner:
                    self.folder(inner, depth + 1)


class _Archiving:
    def __init__(self, bounds: Bounds, device: int) -> None:
        self._bounds = bounds
        self._device = device
        #: What may still be sent: more may be there now than was counted.
        self._left = bounds.content_bytes

    def folder(self, descriptor: int, place: str, found: os.stat_result, depth: int) -> Iterator[bytes]:
        if depth > self._bounds.depth:
            return
        yield _header(place, found, tarfile.DIRTYPE, 0)
        for name, status in _entries(descriptor, self._device):
            if stat.S_ISDIR(status.st_mode):
                with opened(name, descriptor) as inner:
                    yield from self.folder(inner, f"{place}/{name}", status, depth + 1)
            else:
                yield from self._file(descriptor, name, f"{place}/{name}")

    def _file(self, parent: int, name: str, place: str) -> Iterator[bytes]:
        try:
            file = os.open(name, _READ, dir_fd=parent)
        except OSError:
            return  # gone, or another thing, meanwhile
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size > self._left:
                return
            self._left -= found.st_size
            yield _header(place, found, tarfile.REGTYPE, found.st_size)
            yield from _content(file, found.st_size)
        finally:
            os.close(file)


def _entries(folder: int, device: int) -> Iterator[tuple[str, os.stat_result]]:
    """Folders and files by name; nothing else."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        try:
            status = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:
            continue
        if status.st_dev == device and (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            yield name, status


def _header(place: str, found: os.stat_result, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(place)
    info.type = kind
    info.size = size
    # Whoever unpacks it owns it, and reads it, whatever the plugin made of its modes.
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.mtime = max(0, int(found.st_mtime))
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(file: int, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = os.read(file, min(left, _CHUNK_BYTES))
        if not chunk:
            break
        left -= len(chunk)
        yield chunk
    # What is missing of a file that shrank, and the rest of the last block.
    missing = left + -size % _BLOCK
    while missing:
        yield bytes(min(missing, _CHUNK_BYTES))
        missing -= min(missing, _CHUNK_BYTES)
