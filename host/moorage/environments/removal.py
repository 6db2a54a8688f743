"""Removes trees that someone hostile laid out: deeper than Python recurses, with paths longer than the kernel takes."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(root: Path) -> None:
    """Removes what can be removed; nothing where there is no folder. Links are not followed.

    What lies deeper is moved up to the root first, so neither depth nor the length of paths matters.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(root, _FOLDER)
        try:
            os.fchmod(descriptor, 0o700)
            _empty(descriptor)
        finally:
            os.close(descriptor)
        root.rmdir()


def _empty(root: int) -> None:
    unique = itertools.count()
    while True:
        folders = _without_files(root)
        if not folders:
            return
        removed = [_flatten(root, name, unique) for name in folders]
        if not any(removed):
            return  # it cannot be removed, by this user


def _flatten(root: int, name: str, unique: itertools.count[int]) -> bool:
    """Moves the folders of a folder up, and removes it."""
    try:
        folder = os.open(name, _FOLDER, dir_fd=root)
        try:
            os.fchmod(folder, 0o700)
            for inner in _without_files(folder):
                os.rename(inner, f".removed-{next(unique)}-{os.urandom(8).hex()}", src_dir_fd=folder, dst_dir_fd=root)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=root)
    except OSError:
        return False
    return True


def _without_files(folder: int) -> list[str]:
    """Removes everything in a folder but folders, whose names it returns."""
    folders = []
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.name, dir_fd=folder)
    return folders
