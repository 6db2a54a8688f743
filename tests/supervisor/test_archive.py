"""A plugin's folder as a tar: whatever it left there, nothing is followed and nothing waited for."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.supervisor.archive import archive
from moorage.supervisor.tree import Bounds, TreeRefused

BOUNDS = Bounds(content_bytes=10 * 2**20, entries=100)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def unpacked(chunks: Iterator[bytes]) -> dict[str, bytes | None]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return {
            member.name: None if member.isdir() else (tar.extractfile(member) or io.BytesIO()).read() for member in tar
        }


def test_files_and_folders_are_in_it_whole(data: Path) -> None:
    (data / "plays.db").write_bytes(os.urandom(600_001))
    (data / "empty").touch()
    (data / "deep" / "deeper").mkdir(parents=True)
    (data / "deep" / "deeper" / "ü 漢字").write_text("text")
    os.makedirs(os.fsencode(data) + b"/\xff\xfe")
    (data / ("long" * 40)).write_bytes(b"x" * 512)

    found = unpacked(archive(data, "churn", BOUNDS))

    assert found["churn/plays.db"] == (data / "plays.db").read_bytes()
    assert found["churn/empty"] == b""
    assert found["churn/deep/deeper/ü 漢字"] == b"text"
    assert found[f"churn/{'long' * 40}"] == b"x" * 512
    assert {name for name, content in found.items() if content is None} == {
        "churn", "churn/deep", "churn/deep/deeper", "churn/\udcff\udcfe",
    }  # fmt: skip


def test_links_lead_nowhere_and_pipes_hold_nobody_up(data: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    (data / "link").symlink_to(tmp_path / "secret")
    (data / "folder").symlink_to(tmp_path)
    (data / "loop").symlink_to(data)
    os.mkfifo(data / "pipe")
    (data / "kept").write_text("kept")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(data / "s"))
        chunks = b"".join(archive(data, "churn", BOUNDS))
    assert b"of the host" not in chunks
    assert set(unpacked(iter([chunks]))) == {"churn", "churn/kept"}


def test_a_folder_that_is_a_link_itself_is_refused(tmp_path: Path, data: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(OSError, match="link"):
        next(archive(tmp_path / "link", "churn", BOUNDS))


def test_what_becomes_a_link_or_a_pipe_meanwhile_is_left_out(data: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    for name in ("a", "b", "c"):
        (data / name).write_text("mine")
    chunks = archive(data, "churn", BOUNDS)
    parts = [next(chunks)]
    (data / "a").unlink()
    (data / "a").symlink_to(tmp_path / "secret")
    (data / "b").unlink()
    os.mkfifo(data / "b")
    found = unpacked(iter([*parts, *chunks]))
    assert found == {"churn": None, "churn/c": b"mine"}


def test_a_file_that_shrinks_or_grows_meanwhile_breaks_nothing(data: Path) -> None:
    (data / "a").write_bytes(b"x" * 600_000)
    (data / "b").write_bytes(b"y")
    chunks = archive(data, "churn", BOUNDS)
    parts = [next(chunks), next(chunks)]
    os.truncate(data / "a", 1_000)
    found = unpacked(iter([*parts, *chunks]))
    assert len(found["churn/a"] or b"") == 600_000
    assert found["churn/b"] == b"y"


@pytest.mark.parametrize("fill", ["sparse", "bytes", "files", "depth"])
def test_too_much_of_anything_is_refused_before_the_first_chunk(data: Path, fill: str) -> None:
    if fill == "sparse":
        with (data / "huge").open("wb") as file:
            file.truncate(2**40)
    elif fill == "bytes":
        (data / "big").write_bytes(bytes(11 * 2**20))
    elif fill == "files":
        for number in range(101):
            (data / str(number)).touch()
    else:
        (data / "/".join(["d"] * 70)).mkdir(parents=True)
    with pytest.raises(TreeRefused):
        next(archive(data, "churn", BOUNDS))


def test_what_is_as_large_as_allowed_passes(data: Path) -> None:
    (data / "big").write_bytes(bytes(10 * 2**20))
    for number in range(99):
        (data / str(number)).touch()
    assert len(unpacked(archive(data, "churn", BOUNDS))) == 101
