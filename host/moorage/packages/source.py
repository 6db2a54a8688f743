"""The host's own copy of a plugin's code: what workers run, whatever happens to the folder it came from.

The folder is the plugin's and may change under the reader's eyes, so every file is opened once, without following
links and without waiting, and judged by its descriptor. The copy is then judged again, hashed and named by the hash.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from moorage.errors import Conflict, Invalid
from moorage.models.manifest import Manifest
from moorage.packages.manifest import find_code_root, read_manifest
from moorage.packages.metadata import write_metadata
from moorage.packages.names import HOST_PROVIDED_MODULES

MAX_FILES = 20_000
MAX_BYTES = 512 * 1024 * 1024
MAX_DEPTH = 64

#: Folders of tools, not of code. The host's own packages are mounted beside the plugin's.
LEFT_OUT = HOST_PROVIDED_MODULES | {
    ".git",
    ".hg",
    ".hypothesis",
    ".idea",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    ".vscode",
    "__pycache__",
    "node_modules",
}
_LEFT_OUT_ENDINGS = (".pyc", ".egg-info")

_READ_BYTES = 1024 * 1024


class SourceRefused(Invalid):
    """The plugin's folder holds something that cannot be copied; the sentence names it."""

    code = "source_refused"

    def __init__(self, folder: Path, relative: str, problem: str) -> None:
        super().__init__(f"{folder}: {relative or '.'} {problem}.")


class SourceChanged(Conflict):
    code = "source_changed"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} changed while it was being installed. Install it again.")


@dataclass(frozen=True)
class PluginSource:
    """The host's copy of a plugin's code, read-only."""

    code_path: Path
    #: SHA-256 of the copied tree, hexadecimal.
    code_hash: str
    #: Folders below code_path that go on sys.path; "" is code_path itself.
    code_roots: tuple[str, ...]


@dataclass
class _Copy:
    """One copying under way: where from, and how much so far."""

    folder: Path
    files: int = 0
    bytes: int = 0
    links: list[Path] = field(default_factory=list)

    def refuse(self, relative: str, problem: str) -> SourceRefused:
        return SourceRefused(self.folder, relative, problem)


def copy_source(folder: Path, destination_root: Path, manifest: Manifest) -> PluginSource:
    """Copies a plugin's project into a folder below ``destination_root`` that is named by its content.

    ``manifest`` is what was read from the folder; the copy has to say the same. Copying the same content again changes
    nothing. Raises SourceRefused, SourceChanged or ManifestInvalid, and leaves nothing behind.
    """
    destination_root.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".copy-", dir=destination_root))
    try:
        _copy_project(folder, temporary)
        if read_manifest(temporary) != manifest:
            raise SourceChanged(folder)
        root = find_code_root(temporary, manifest.entry_point.partition(":")[0])
        if root is None:
            raise SourceChanged(folder)
        write_metadata(temporary / root, manifest)
        seal(temporary)
        digest = tree_hash(temporary)
        final = destination_root / digest
        if not final.exists():
            temporary.rename(final)
        return PluginSource(final, digest, (root,))
    finally:
        remove_tree(temporary)


def collect_sources(destination_root: Path, keep: set[str]) -> tuple[str, ...]:
    """Removes the copies that no installation uses, and the leavings of interrupted ones; says which."""
    if not destination_root.is_dir():
        return ()
    orphans = sorted(entry.name for entry in destination_root.iterdir() if entry.name not in keep)
    for name in orphans:
        remove_tree(destination_root / name)
    return tuple(orphans)


def tree_hash(root: Path) -> str:
    """SHA-256 over names, kinds, executable bits and contents of a tree, whatever its times and owners."""
    digest = hashlib.sha256(b"moorage source 1\0")
    for path in _walk(root):
        status = path.lstat()
        name = os.fsencode(path.relative_to(root))
        if stat.S_ISLNK(status.st_mode):
            kind, content = b"link", hashlib.sha256(os.fsencode(path.readlink())).digest()
        elif stat.S_ISDIR(status.st_mode):
            kind, content = b"folder", b""
        else:
            kind = b"program" if status.st_mode & stat.S_IXUSR else b"file"
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        digest.update(b"%d %b %b %b\0" % (len(name), name, kind, content))
    return digest.hexdigest()


def seal(root: Path) -> None:
    """Makes a tree of the host's own read-only, and readable for everyone: its workers have other uids."""
    for path in (*_walk(root), root):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            path.chmod(0o555)
        elif stat.S_ISREG(status.st_mode):
            path.chmod(0o555 if status.st_mode & stat.S_IXUSR else 0o444)


def unseal(root: Path) -> None:
    """The host may add files to its copy until it is sealed again."""
    for folder in (root, *(entry for entry in _walk(root) if entry.is_dir() and not entry.is_symlink())):
        folder.chmod(0o755)


def remove_tree(root: Path) -> None:
    """Removes a tree of the host's own, read-only or not; nothing where there is none."""
    if not root.is_dir():
        return
    for path in (root, *(entry for entry in _walk(root) if entry.is_dir() and not entry.is_symlink())):
        path.chmod(0o700)
    shutil.rmtree(root)


def _walk(root: Path) -> Iterator[Path]:
    """Everything below a folder of the host's own, in the order of names, folders before what they hold."""
    for entry in sorted(root.iterdir()):
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)


def _copy_project(folder: Path, destination: Path) -> None:
    copy = _Copy(folder)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise copy.refuse("", f"cannot be read: {error.strerror}") from error
    try:
        _copy_folder(copy, descriptor, destination, "", depth=0)
    finally:
        os.close(descriptor)
    for link in copy.links:
        _check_link(copy, destination, link)


def _copy_folder(copy: _Copy, source: int, destination: Path, relative: str, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise copy.refuse(relative, f"lies more than {MAX_DEPTH} folders deep; flatten the project")
    names = sorted(os.listdir(source))  # by descriptor: the folder that was opened, whatever the name points at now
    for name in names:
        if not _is_left_out(name):
            place = f"{relative}/{name}" if relative else name
            try:
                _copy_entry(copy, source, name, destination / name, place, depth=depth)
            except OSError as error:
                raise copy.refuse(place, f"cannot be copied: {error.strerror}") from error


def is_left_out(relative: Path) -> bool:
    """Whether a path below a plugin's folder is a tool's or a host-provided package's, and is no part of the plugin."""
    return any(_is_left_out(part) for part in relative.parts)


def _is_left_out(name: str) -> bool:
    return name in LEFT_OUT or name.endswith(_LEFT_OUT_ENDINGS)


def _copy_entry(copy: _Copy, source: int, name: str, destination: Path, relative: str, *, depth: int) -> None:
    copy.files += 1
    if copy.files > MAX_FILES:
        raise copy.refuse(relative, f"is one file too many: a plugin has at most {MAX_FILES}; move data elsewhere")
    mode = os.stat(name, dir_fd=source, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        destination.symlink_to(os.readlink(name, dir_fd=source))
        copy.links.append(destination)
        return
    # Opening a device can do things, so it is not opened to find out that it is one.
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise copy.refuse(relative, _NO_FILE)
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            _copy_file(copy, descriptor, destination, relative, executable=bool(mode & stat.S_IXUSR))
        elif not stat.S_ISDIR(mode):
            raise copy.refuse(relative, _NO_FILE)
        elif not _is_venv(descriptor):
            destination.mkdir()
            _copy_folder(copy, descriptor, destination, relative, depth=depth + 1)
    finally:
        os.close(descriptor)


_NO_FILE = "is a device, pipe or socket; a plugin is made of files and folders. Remove it"


def _is_venv(folder: int) -> bool:
    return "pyvenv.cfg" in os.listdir(folder)


def _copy_file(copy: _Copy, source: int, destination: Path, relative: str, *, executable: bool) -> None:
    with destination.open("xb") as stream:
        while chunk := os.read(source, _READ_BYTES):
            copy.bytes += len(chunk)
            if copy.bytes > MAX_BYTES:
                raise copy.refuse(
                    relative, f"takes the plugin beyond {MAX_BYTES // 1024**2} MiB; move data out of the project"
                )
            stream.write(chunk)
    if executable:
        destination.chmod(0o755)


def _check_link(copy: _Copy, root: Path, link: Path) -> None:
    """A link has to lead, in the copy, to something in the copy; there nobody can change it meanwhile."""
    relative = link.relative_to(root).as_posix()
    target = link.readlink()
    if target.is_absolute():
        raise copy.refuse(relative, "is a link to an absolute path; a plugin's folder holds all that it needs")
    try:
        inside = link.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise copy.refuse(relative, "is a link to nothing that is copied; remove it") from error
    if not inside:
        raise copy.refuse(relative, "is a link that leaves the plugin's folder; copy the files into it")
