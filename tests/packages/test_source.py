from __future__ import annotations

import importlib.metadata
import os
import socket
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.manifest import Author, Manifest
from moorage.packages import source
from moorage.packages.manifest import read_manifest
from moorage.packages.metadata import metadata
from moorage.packages.source import SourceChanged, SourceRefused, collect_sources, copy_source, tree_hash


@pytest.fixture
def copies(tmp_path: Path):
    root = tmp_path / "copies"
    yield root
    collect_sources(root, keep=set())


def _copy(project: Path, copies: Path) -> source.PluginSource:
    return copy_source(project, copies, read_manifest(project))


@pytest.mark.parametrize(("module", "root"), [("churn/plugin.py", ""), ("src/churn/plugin.py", "src")])
def test_a_copy_is_named_by_its_content_and_read_only(make_project, copies: Path, module: str, root: str) -> None:
    project = make_project(module=module)
    (project / "tool.sh").write_text("#!/bin/sh\n")
    (project / "tool.sh").chmod(0o700)
    copied = _copy(project, copies)
    assert copied.code_path == copies / copied.code_hash
    assert copied.code_roots == (root,)
    assert tree_hash(copied.code_path) == copied.code_hash
    assert stat.S_IMODE(copied.code_path.stat().st_mode) == 0o555
    assert stat.S_IMODE((copied.code_path / module).stat().st_mode) == 0o444
    assert stat.S_IMODE((copied.code_path / "tool.sh").stat().st_mode) == 0o555
    assert [entry.name for entry in copies.iterdir()] == [copied.code_hash]


def test_importlib_finds_the_plugin_in_its_copy(make_project, copies: Path) -> None:
    project = make_project(module="src/churn/plugin.py")
    (project / "src/churn-9.9.dist-info").mkdir()
    copied = _copy(project, copies)
    found = list(importlib.metadata.distributions(path=[str(copied.code_path / "src")]))
    assert [(entry.metadata["Name"], entry.version) for entry in found] == [("churn", "1.2.0")]


def test_the_same_content_is_the_same_copy_and_other_content_another(make_project, copies: Path) -> None:
    project = make_project()
    first = _copy(project, copies)
    os.utime(project / "churn/plugin.py", (0, 0))
    assert _copy(project, copies) == first
    (project / "churn/plugin.py").write_text("changed\n")
    second = _copy(project, copies)
    assert second.code_hash != first.code_hash
    assert (first.code_path / "churn/plugin.py").read_text() != "changed\n"


def test_what_is_no_code_is_left_out(make_project, copies: Path) -> None:
    project = make_project()
    for name in (
        ".git",
        ".venv",
        "node_modules",
        "__pycache__",
        "moorage_sdk",
        "src/moorage_proto",
        "churn.egg-info",
        "env",
    ):
        (project / name).mkdir(parents=True)
        (project / name / "file.py").touch()
    (project / "env/pyvenv.cfg").touch()
    (project / "churn/plugin.pyc").touch()
    (project / "tests").mkdir()
    (project / "tests/test_plugin.py").touch()
    copied = _copy(project, copies).code_path
    files = {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()}
    assert files == {
        "pyproject.toml",
        "churn/plugin.py",
        "tests/test_plugin.py",
        "churn-1.2.0.dist-info/METADATA",
        "churn-1.2.0.dist-info/INSTALLER",
    }


def test_a_link_inside_the_plugin_stays_a_link(make_project, copies: Path) -> None:
    project = make_project()
    (project / "churn/same.py").symlink_to("../churn/plugin.py")
    copied = _copy(project, copies).code_path
    assert (copied / "churn/same.py").readlink() == Path("../churn/plugin.py")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/etc/passwd", "absolute path"),
        ("../../../../../../../../etc/passwd", "leaves the plugin's folder"),
        ("../../secret.txt", "a link to nothing that is copied"),
        ("missing", "a link to nothing that is copied"),
        ("loop", "a link to nothing that is copied"),
        ("../.git/config", "a link to nothing that is copied"),
    ],
)
def test_links_that_leave_the_plugin_are_refused(make_project, copies: Path, target: str, words: str) -> None:
    project = make_project()
    (project.parent / "secret.txt").write_text("secret")
    (project / ".git").mkdir()
    (project / ".git/config").touch()
    (project / "churn/loop").symlink_to(target)
    with pytest.raises(SourceRefused, match=words) as raised:
        _copy(project, copies)
    assert "churn/loop" in str(raised.value)
    assert list(copies.iterdir()) == []


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(place.parent)  # socket paths are short
        try:
            listener.bind(place.name)
        finally:
            os.chdir(here)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("plant", [_pipe, _socket])
def test_pipes_and_sockets_are_refused_and_do_not_hold_up_the_host(make_project, copies: Path, plant) -> None:
    project = make_project()
    plant(project / "churn/odd")
    with pytest.raises(SourceRefused, match="churn/odd is a device, pipe or socket"):
        _copy(project, copies)
    (project / "churn/odd").unlink()
    _copy(project, copies)


def test_a_plugin_of_any_size_ends_at_the_bound(make_project, copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 3 * 1024**2)
    project = make_project()
    with (project / "sparse").open("wb") as stream:
        stream.truncate(10**13)
    with pytest.raises(SourceRefused, match="sparse takes the plugin beyond 3 MiB"):
        _copy(project, copies)
    assert list(copies.iterdir()) == []


def test_many_files_end_at_the_bound(make_project, copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_FILES", 10)
    project = make_project()
    for number in range(8):
        (project / f"{number}.py").touch()
    with pytest.raises(SourceRefused, match="at most 10; move data elsewhere"):
        _copy(project, copies)


def test_deep_folders_end_at_the_bound(make_project, copies: Path) -> None:
    project = make_project()
    (project / "/".join("d" * 70)).mkdir(parents=True)
    with pytest.raises(SourceRefused, match="more than 64 folders deep"):
        _copy(project, copies)


def test_hard_links_become_files_of_their_own(make_project, copies: Path) -> None:
    project = make_project()
    os.link(project / "churn/plugin.py", project / "churn/second.py")
    copied = _copy(project, copies).code_path
    assert (copied / "churn/second.py").stat().st_nlink == 1


def test_a_manifest_that_changed_since_it_was_read_is_refused(make_project, copies: Path) -> None:
    project = make_project()
    manifest = read_manifest(project)
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text + 'required = [{ allow = "sql.write:**", because = "why not" }]\n')
    with pytest.raises(SourceChanged, match="changed while it was being installed"):
        copy_source(project, copies, manifest)
    assert list(copies.iterdir()) == []


def test_files_that_change_into_links_while_they_are_copied_are_never_followed(make_project, copies: Path) -> None:
    """Someone swaps a file for a link to a secret, again and again; no copy ever holds the secret."""
    project = make_project()
    manifest = read_manifest(project)
    secret, swapped = project.parent / "secret.txt", project / "churn/data.txt"
    secret.write_text("secret")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for make in (lambda place: place.write_text("plain"), lambda place: place.symlink_to(secret)):
                make(project / "next")
                (project / "next").rename(swapped)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(50):
            try:
                copied = copy_source(project, copies, manifest).code_path
            except SourceRefused:
                continue
            assert all(file.read_text() != "secret" for file in copied.rglob("*") if file.is_file())
    finally:
        stop.set()
        swapper.join(5)


def test_orphans_and_leavings_are_collected(make_project, copies: Path) -> None:
    project = make_project()
    kept = _copy(project, copies)
    (project / "more.py").touch()
    orphan = _copy(project, copies)
    (copies / ".copy-interrupted").mkdir()
    assert collect_sources(copies, {kept.code_hash}) == (".copy-interrupted", orphan.code_hash)
    assert [entry.name for entry in copies.iterdir()] == [kept.code_hash]
    assert collect_sources(copies / "missing", set()) == ()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=1000, exclude_categories=["C", "Z"]), max_size=30))
def test_metadata_is_one_line_for_each_field(description: str) -> None:
    text = metadata(
        Manifest("churn", "1.0", "a:b", description, authors=(Author("Ada", "a@b.c"),), dependencies=("x>1",))
    )
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    assert fields.get("Summary", "") == description
    assert fields["Author-email"] == "Ada <a@b.c>"
    assert fields["Requires-Dist"] == "x>1"
