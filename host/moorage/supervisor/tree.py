"""Copies and removes folders that a plugin filled.

What is found there is hostile: links to the host's files, pipes that hold up whoever opens them, files of a terabyte
with nothing in them, folders in folders without end, names that are no text. So nothing is opened by a path: each
folder is opened below the one before, never through a symbolic link (open(2), O_NOFOLLOW), never waiting (O_NONBLOCK),
and each file is looked at once more after it was opened. No process of the plugin may be alive meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from moorage.errors import MoorageError

#: Folders in folders; more are not copied. Each takes two descriptors while it is copied.
MOST_DEPTH = 64

#: ioctl_ficlone(2): the copy shares the original's blocks until one of them changes.
_FICLONE = 0x40049409

_CHUNK_BYTES = 8 * 1024 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = _READ | os.O_DIRECTORY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: What filesystems answer that cannot copy inside the kernel.
_NOT_HERE = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM})


class TreeRefused(MoorageError):
    """The folder is not copied; the sentence says what in it is too much."""

    code = "tree_refused"
    http_status = 409


@dataclass(frozen=True)
class Bounds:
    """Of one copy."""

    content_bytes: int
    #: Files, folders and links together.
    entries: int
    depth: int = MOST_DEPTH


@dataclass
class Copied:
    """What a copy came to."""

    content_bytes: int = 0
    entries: int = 0
    #: Sockets and devices; they are not copied.
    left_out: int = 0


def copy_tree(source: int, target: int, bounds: Bounds) -> Copied:
    """Copies what is in a folder, given as a descriptor, into an empty one; owners, modes and times are kept.

    Symbolic links stay links, and are not followed. Set-user-id and set-group-id bits are dropped. Raises TreeRefused,
    and OSError; what was copied by then stays, for the caller to remove.
    """
    copying = _Copying(target, os.fstat(source).st_dev, bounds)
    copying.folder(source, target, "", 1)
    _dress(target, os.fstat(source))
    return copying.copied


def remove_tree(parent: int, name: str) -> None:
    """Removes a file or folder below an opened folder, however deep it is. What is not there is no error.

    Folders are emptied upwards: what they hold is moved to the top first, so that two descriptors are enough.
    """
    try:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            os.unlink(name, dir_fd=parent)
            return
    except FileNotFoundError:
        return
    with _opened_to_empty(parent, name) as top:
        empty_folder(top)
    os.rmdir(name, dir_fd=parent)


def empty_folder(top: int) -> None:
    """Removes all that is in an opened folder."""
    fresh = (f".{secrets.token_hex(16)}" for _ in itertools.count())
    while True:
        names = list(itertools.islice(_names(top), 10_000))
        if not names:
            return
        for name in names:
            if _unlinked(top, name):
                continue
            with _opened_to_empty(top, name) as folder:
                for inner in tuple(_names(folder)):
                    if not _unlinked(folder, inner):
                        os.rename(inner, next(fresh), src_dir_fd=folder, dst_dir_fd=top)
            os.rmdir(name, dir_fd=top)


@contextmanager
def opened(name: str, parent: int | None = None) -> Iterator[int]:
    """A folder's descriptor; the last part of its name may not be a symbolic link."""
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Copying:
    def __init__(self, root: int, device: int, bounds: Bounds) -> None:
        self.copied = Copied()
        self._root = root
        self._device = device
        self._bounds = bounds
        #: Where the first name of a file with several was copied to, below the root.
        self._linked: dict[int, str] = {}

    def folder(self, source: int, target: int, place: str, depth: int) -> None:
        if depth > self._bounds.depth:
            raise TreeRefused(f"It has folders in folders, more than {self._bounds.depth} deep.")
        for name in _names(source):
            self.copied.entries += 1
            if self.copied.entries > self._bounds.entries:
                raise TreeRefused(f"It has more than {self._bounds.entries} files and folders.")
            self._entry(name, source, target, f"{place}{name}", depth)

    def _entry(self, name: str, source: int, target: int, place: str, depth: int) -> None:
        found = os.lstat(name, dir_fd=source)
        if found.st_dev != self._device:
            raise TreeRefused(f"Another filesystem is mounted in it, at {place!r}.")
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=target)
            with opened(name, source) as inner, opened(name, target) as copy:
                self.folder(inner, copy, f"{place}/", depth + 1)
                _dress(copy, found)
        elif kind == stat.S_IFREG:
            self._file(name, source, target, place, found)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, *_owner(found), dir_fd=target, follow_symlinks=False)
        elif kind == stat.S_IFIFO:
            os.mkfifo(name, 0o600, dir_fd=target)
            os.chown(name, *_owner(found), dir_fd=target, follow_symlinks=False)
        else:
            self.copied.left_out += 1

    def _file(self, name: str, source: int, target: int, place: str, found: os.stat_result) -> None:
        if found.st_nlink > 1:
            first = self._linked.setdefault(found.st_ino, place)
            if first != place:
                os.link(first, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)
                return
        original = os.open(name, _READ, dir_fd=source)
        try:
            if not stat.S_ISREG(os.fstat(original).st_mode):
                raise TreeRefused(f"{place!r} changed while it was copied: something of the plugin is still alive.")
            copy = os.open(name, _NEW, 0o600, dir_fd=target)
            try:
                self._content(original, copy, found)
                _dress(copy, found)
            finally:
                os.close(copy)
        finally:
            os.close(original)

    def _content(self, original: int, copy: int, found: os.stat_result) -> None:
        """Shared blocks where the filesystem can; else what is really there, and no more: holes stay holes."""
        try:
            self._count(found.st_blocks * 512)
            fcntl.ioctl(copy, _FICLONE, original)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
        else:
            return
        self._count(-found.st_blocks * 512)
        for begin, end in _extents(original, found.st_size):
            self._count(end - begin)
            _copy_range(original, copy, begin, end)
        os.ftruncate(copy, found.st_size)

    def _count(self, content_bytes: int) -> None:
        self.copied.content_bytes += content_bytes
        if self.copied.content_bytes > self._bounds.content_bytes:
            raise TreeRefused(f"It holds more than {self._bounds.content_bytes // 2**20} MiB.")


def _extents(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Where it has content: lseek(2), SEEK_DATA. Of a filesystem that cannot tell, all of it."""
    begin = 0
    while begin < size:
        try:
            begin = os.lseek(file, begin, os.SEEK_DATA)
            end = os.lseek(file, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            end = size
        yield begin, end
        begin = end


def _copy_range(original: int, copy: int, begin: int, end: int) -> None:
    inside_kernel = True
    while begin < end:
        wanted = min(_CHUNK_BYTES, end - begin)
        if inside_kernel:
            try:
                moved = os.copy_file_range(original, copy, wanted, begin, begin)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                inside_kernel = False
                continue
        else:
            moved = os.pwrite(copy, os.pread(original, wanted, begin), begin)
        if moved == 0:
            return
        begin += moved


def _dress(copy: int, found: os.stat_result) -> None:
    """Owner first: a change of owner takes mode bits away."""
    os.fchown(copy, *_owner(found))
    os.fchmod(copy, stat.S_IMODE(found.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))


def _owner(found: os.stat_result) -> tuple[int, int]:
    """An ordinary user's files are his own, whatever group they have in his worker's sandbox."""
    return (found.st_uid, found.st_gid) if os.geteuid() == 0 else (-1, -1)


def _names(folder: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name


def _unlinked(folder: int, name: str) -> bool:
    """Whether it was a file, and is gone."""
    if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
        return False
    os.unlink(name, dir_fd=folder)
    return True


@contextmanager
def _opened_to_empty(parent: int, name: str) -> Iterator[int]:
    """Also one that its owner may not open. It is a folder: a symbolic link would be opened, and refused, first."""
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        if os.fstat(descriptor).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(descriptor, 0o700)
        yield descriptor
    finally:
        os.close(descriptor)
