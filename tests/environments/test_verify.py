from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from moorage.environments.errors import EnvironmentRefused
from moorage.environments.verify import check_site_packages, check_tree, remove_needless, seal, tree_digest


@pytest.mark.parametrize(
    "content",
    [
        b"import os\n",
        b"import\tos",
        b"folder\nimport os",
        b"folder\rimport os",
        b"\xef\xbb\xbfimport os",
        b"folder\x0cimport os",
        b"folder\xc2\x85import os",
        b"folder\x85import os",
        "folder\u2028import os".encode(),
        b"x" * 100_000,
    ],
)
def test_code_in_a_pth_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hostile.pth").write_bytes(content)
    with pytest.raises(EnvironmentRefused, match=r"hostile\.pth, which runs code at every start of Python"):
        check_site_packages(tmp_path)
    (tmp_path / "hostile.pth").write_bytes(b"# import os\nimportant\n folder\n")
    check_site_packages(tmp_path)


def test_entry_points_at_start_are_refused(tmp_path: Path) -> None:
    (tmp_path / "hostile.start").touch()
    with pytest.raises(EnvironmentRefused, match=r"hostile\.start"):
        check_site_packages(tmp_path)


def test_model_files_with_that_ending_in_packages_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/model.pth").write_bytes(b"import os\n")
    check_site_packages(tmp_path)


def test_what_setuptools_leaves_is_removed(tmp_path: Path) -> None:
    for name in ("protobuf-3.20.3-py3.9-nspkg.pth", "distutils-precedence.pth", ".lock", "kept.pth"):
        (tmp_path / name).write_text("import os" if name != "kept.pth" else "folder")
    remove_needless(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.pth"]
    check_site_packages(tmp_path)


def _tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "lib").mkdir(parents=True)
    (root / "lib/module.py").touch()
    (root / "python").symlink_to("/py/bin/python3.11")
    return root


LINKS = {"python": "/py/bin/python3.11"}


def test_a_tree_of_files_folders_and_the_known_links_is_fine(tmp_path: Path) -> None:
    check_tree(_tree(tmp_path), LINKS)


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (lambda root: (root / "lib/out").symlink_to("/etc"), "lib/out, which is a link"),
        (lambda root: (root / "lib/in").symlink_to("module.py"), "lib/in, which is a link"),
        (lambda root: os.mkfifo(root / "lib/pipe"), "lib/pipe, which is neither a file nor a folder"),
        (lambda root: os.link(root / "lib/module.py", root / "lib/twin.py"), "which shares its content"),
        (lambda root: (root / "python").unlink(), "python, in the place of a link"),
        (lambda root: ((root / "python").unlink(), (root / "python").write_text("evil")), "in the place of a link"),
        (lambda root: ((root / "python").unlink(), (root / "python").symlink_to("lib")), "python, which is a link"),
    ],
)
def test_whatever_else_is_in_a_tree_is_refused(tmp_path: Path, plant, words: str) -> None:
    root = _tree(tmp_path)
    plant(root)
    with pytest.raises(EnvironmentRefused, match=words):
        check_tree(root, LINKS)


def test_a_sealed_tree_is_readable_for_everyone_and_writable_for_the_host(tmp_path: Path) -> None:
    root = _tree(tmp_path)
    (root / "lib").chmod(0o700)
    (root / "lib/module.py").chmod(0o600)
    (root / "lib/program").touch()
    (root / "lib/program").chmod(0o6777)
    seal(root)
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in root.rglob("*") if not path.is_symlink()}
    assert modes == {"lib": 0o755, "module.py": 0o644, "program": 0o755}


def test_a_tree_has_another_digest_after_any_change(tmp_path: Path) -> None:
    root = _tree(tmp_path)
    digests = [tree_digest(root)]
    os.utime(root / "lib/module.py", (0, 0))
    assert tree_digest(root) == digests[0]
    for change in (
        lambda: (root / "lib/module.py").write_text("changed"),
        lambda: (root / "lib/module.py").chmod(0o755),
        lambda: (root / "lib/module.py").rename(root / "lib/other.py"),
        (root / "lib/folder").mkdir,
        lambda: ((root / "python").unlink(), (root / "python").symlink_to("x")),
    ):
        change()
        digests.append(tree_digest(root))
    assert len(set(digests)) == len(digests)
