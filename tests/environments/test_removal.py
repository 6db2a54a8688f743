from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from moorage.environments.removal import remove_tree


def deep(root: Path, levels: int) -> None:
    """Made through descriptors: its path is longer than the kernel takes in one piece."""
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("down", dir_fd=here)
        below = os.open("down", os.O_RDONLY, dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(here)
        here = below
    os.close(here)


@pytest.mark.system  # for its time: a thousand folders
def test_a_tree_deeper_than_python_recurses_is_removed(tmp_path: Path) -> None:
    deep(tmp_path / "tree", sys.getrecursionlimit() + 200)  # shutil.rmtree raises RecursionError at this one
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed_and_modes_do_not_matter(tmp_path: Path) -> None:
    kept, tree = tmp_path / "kept", tmp_path / "tree"
    (kept / "inside").mkdir(parents=True)
    (tree / "closed/inner").mkdir(parents=True)
    (tree / "closed/inner/link").symlink_to(kept)
    (tree / "closed/inner").chmod(0o000)
    (tree / "closed").chmod(0o500)
    remove_tree(tree)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
    assert (kept / "inside").is_dir()


def test_where_there_is_no_folder_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name in ("missing", "file", "link"):
        remove_tree(tmp_path / name)
    assert {entry.name for entry in tmp_path.iterdir()} == {"link", "file"}
