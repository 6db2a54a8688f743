"""What was installed, judged by looking at it: nothing of it is imported, run or asked."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from moorage.environments.errors import EnvironmentRefused, EnvironmentTooLarge

#: ``site`` runs lines of ``.pth`` files that begin so, at every start of Python.
_CODE = ("import ", "import\t")

#: Not needed: uv's lock on the folder, and what setuptools wrote. Namespace packages work without their files since
#: Python 3.3, and the other one redirects ``distutils``.
_NEEDLESS = re.compile(r"\.lock|.+-nspkg\.pth|distutils-precedence\.pth")

MAX_PTH_BYTES = 64 * 1024

#: Folders within folders.
MAX_DEPTH = 64


def remove_needless(site_packages: Path) -> None:
    """Removes well-known files that hold code and do nothing that is missed."""
    for file in site_packages.iterdir():
        if _NEEDLESS.fullmatch(file.name) and not file.is_dir():
            file.unlink()


def check_site_packages(site_packages: Path) -> None:
    """Raises EnvironmentRefused at a file with code that ``site`` would run; ``.start`` is PEP 829's, Python 3.15."""
    for file in sorted(site_packages.iterdir()):
        if file.suffix == ".start" or (file.suffix == ".pth" and _holds_code(file)):
            raise EnvironmentRefused(file.name, "which runs code at every start of Python")


def _holds_code(file: Path) -> bool:
    if file.is_symlink() or not file.is_file() or file.stat().st_size > MAX_PTH_BYTES:
        return True  # no list of folders, at least
    content = file.read_bytes()
    # Pythons differ in encoding and in what ends a line; str.splitlines knows every end.
    texts = (content.decode(encoding, "replace") for encoding in ("utf-8-sig", "latin-1"))
    return any(line.startswith(_CODE) for text in texts for line in text.splitlines())


def check_size(root: Path, max_bytes: int, max_files: int) -> None:
    """Raises EnvironmentTooLarge, EnvironmentRefused."""
    size = 0
    for count, path in enumerate(_walk(root), start=1):
        size += path.lstat().st_size
        if size > max_bytes:
            raise EnvironmentTooLarge("Installing the dependencies", max_bytes)
        if count > max_files:
            raise EnvironmentRefused(f"more than {max_files:,} files", "and environments.max_files allows no more")


def check_tree(root: Path, links: Mapping[str, str]) -> None:
    """Raises EnvironmentRefused at anything but folders and files of this tree alone.

    ``links`` are the only symbolic links that may be there, and have to be: path below the root -> target.
    """
    missing = dict(links)
    for path in _walk(root):
        place = path.relative_to(root).as_posix()
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            if missing.pop(place, None) != str(path.readlink()):
                raise EnvironmentRefused(place, "which is a link")
        elif stat.S_ISREG(status.st_mode):
            if status.st_nlink != 1:
                raise EnvironmentRefused(place, "which shares its content with another file")
        elif not stat.S_ISDIR(status.st_mode):
            raise EnvironmentRefused(place, "which is neither a file nor a folder")
    if missing:
        raise EnvironmentRefused(next(iter(missing)), "in the place of a link of the environment")


def seal(root: Path) -> None:
    """Readable for everyone, since workers have other uids, writable for the host alone, and free of set-uid bits."""
    for path in (*_walk(root), root):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            path.chmod(0o755)
        elif stat.S_ISREG(mode):
            path.chmod(0o755 if mode & stat.S_IXUSR else 0o644)


def tree_digest(root: Path) -> str:
    """SHA-256 over names, executable bits and contents, to tell later whether anything was changed."""
    digest = hashlib.sha256()
    for path in _walk(root):
        mode = path.lstat().st_mode
        content = b""
        if stat.S_ISLNK(mode):
            content = os.fsencode(path.readlink())
        elif stat.S_ISREG(mode):
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        name = os.fsencode(path.relative_to(root))
        digest.update(b"%o %d %b %d %b" % (mode, len(name), name, len(content), content))
    return digest.hexdigest()


def _walk(root: Path) -> Iterator[Path]:
    """Everything below a folder, folders before what they hold; links are not followed. Always in the same order.

    Raises EnvironmentRefused where it goes deeper than any package does.
    """
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > MAX_DEPTH:
            shown = folder.relative_to(root).as_posix()
            raise EnvironmentRefused(f"{shown[:80]}...", f"which lies more than {MAX_DEPTH} folders deep")
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = folder / entry.name
            yield path
            if entry.is_dir(follow_symlinks=False):
                waiting.append((path, depth + 1))
