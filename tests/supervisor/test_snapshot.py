"""Copies of what a plugin left in its folder, which may be anything that a filesystem can hold."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.installation import Installation
from moorage.models.manifest import Manifest
from moorage.supervisor import snapshot as snapshots
from moorage.supervisor.snapshot import DataNotDeleted, SnapshotFailed, Snapshots
from moorage.supervisor.tree import Bounds, opened, remove_tree

ROOT = os.geteuid() == 0
NOW = datetime(2026, 11, 21, 2, 47, tzinfo=UTC)


def installation(version: str = "1.0.0", installed_at: datetime = NOW) -> Installation:
    return Installation(
        id="churn",
        manifest=Manifest("churn", version, "churn:plugin", private_data=True),
        source_path=Path("plugins/churn"),
        code_path=Path("code/churn"),
        code_hash=version,
        code_roots=("",),
        venv_key="",
        installed_at=installed_at,
    )


class World:
    def __init__(self, folder: Path, bounds: Bounds, kept: int = 3) -> None:
        self.folder = folder
        self.data = folder / "data" / "churn"
        self.data.mkdir(parents=True, exist_ok=True)
        self.all = Snapshots(folder / "data", folder / "snapshots", bounds, kept)

    def bounded(self, **changes: int) -> World:
        bounds = replace(Bounds(2**30, 1_000), **changes)
        return World(self.folder, bounds)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, Bounds(2**30, 1_000))


def seen(folder: Path) -> dict[str, object]:
    """Everything about a folder that a plugin could tell apart."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        what: object = stat.S_IFMT(about.st_mode)
        if path.is_symlink():
            what = os.readlink(path)
        elif path.is_file():
            what = path.read_bytes()
        mode = None if path.is_symlink() else stat.S_IMODE(about.st_mode)
        found[str(path.relative_to(folder))] = (what, mode, about.st_uid, None if path.is_symlink() else about.st_mtime)
    return found


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=8)
TREES = st.recursive(
    st.binary(max_size=200),
    lambda inner: st.dictionaries(NAMES.filter(lambda n: n not in (".", "..")), inner, max_size=4),
)


def grow(folder: Path, tree: object) -> None:
    for name, inner in tree.items() if isinstance(tree, dict) else ():
        if isinstance(inner, bytes):
            (folder / name).write_bytes(inner)
        else:
            (folder / name).mkdir(exist_ok=True)
            grow(folder / name, inner)


@given(before=TREES, after=TREES)
def test_whatever_happens_to_the_data_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory, before: object, after: object
) -> None:
    world = World(tmp_path_factory.mktemp("any"), Bounds(2**30, 1_000))
    grow(world.data, before)
    known = seen(world.data)
    taken = world.all.take(installation())
    with opened(str(world.data.parent)) as folder:
        remove_tree(folder, "churn")
    world.data.mkdir()
    grow(world.data, after)

    world.all.restore(taken)

    assert seen(world.data) == known
    assert seen(taken.data) == known
    assert [path.name for path in (world.folder / "snapshots" / "churn").iterdir()] == [taken.folder.name]


def test_nothing_is_followed_and_nothing_waits(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    (world.data / "to-file").symlink_to(secret)
    (world.data / "to-folder").symlink_to(tmp_path)
    (world.data / "to-nothing").symlink_to("../../../../nowhere")
    os.mkfifo(world.data / "pipe")
    os.link(secret, world.data / "twice")
    os.link(secret, world.data / "thrice")
    with socket.socket(socket.AF_UNIX) as bound:
        monkeypatch.chdir(world.data)  # the path of a socket has room for 108 bytes
        bound.bind("socket")
    if ROOT:
        os.mknod(world.data / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    (world.data / "program").write_text("#!/bin/sh")
    (world.data / "program").chmod(0o6755)

    taken = world.all.take(installation())

    assert os.readlink(taken.data / "to-file") == str(secret)
    assert (taken.data / "to-folder").is_symlink()
    assert (taken.data / "pipe").is_fifo()
    assert not (taken.data / "socket").exists()
    assert not (taken.data / "device").exists()
    assert (taken.data / "twice").stat().st_ino == (taken.data / "thrice").stat().st_ino != secret.stat().st_ino
    assert stat.S_IMODE((taken.data / "program").stat().st_mode) == 0o755
    assert stat.S_IMODE((world.folder / "snapshots" / "churn").stat().st_mode) == 0o700
    secret.write_text("changed")
    assert (taken.data / "twice").read_text() == "of the host"


def test_a_folder_that_became_a_link_is_not_followed(world: World, tmp_path: Path) -> None:
    """Not through the place of the data itself, nor through that of the copies."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("of somebody else")
    world.data.rmdir()
    world.data.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SnapshotFailed, match=r"The private data of churn cannot be copied.*Not a directory"):
        world.all.take(installation())
    assert list((world.folder / "snapshots" / "churn").iterdir()) == []


def test_a_terabyte_of_nothing_takes_no_room(world: World) -> None:
    with (world.data / "sparse").open("wb") as file:
        file.truncate(2**40)
        file.seek(2**39)
        file.write(b"here")

    taken = world.all.take(installation())

    copy = taken.data / "sparse"
    assert copy.stat().st_size == 2**40
    assert copy.stat().st_blocks * 512 < 2**20
    with copy.open("rb") as file:
        file.seek(2**39)
        assert file.read(4) == b"here"


@pytest.mark.parametrize(
    ("tight", "enough", "sentence"),
    [
        ({"content_bytes": 99_999}, {"content_bytes": 2**20}, "It holds more than 0 MiB"),
        ({"entries": 11}, {"entries": 12}, "more than 11 files and folders"),
        ({"depth": 9}, {"depth": 10}, "more than 9 deep"),
    ],
)
def test_too_much_is_refused_and_nothing_is_left(
    world: World, tight: dict[str, int], enough: dict[str, int], sentence: str
) -> None:
    world.data.joinpath(*"abcdefghi").mkdir(parents=True)
    for number in range(3):
        (world.data / f"file-{number}").write_bytes(os.urandom(40_000))

    with pytest.raises(SnapshotFailed, match=sentence) as refused:
        world.bounded(**tight).all.take(installation())

    assert str(world.folder) not in str(refused.value)
    assert list((world.folder / "snapshots" / "churn").iterdir()) == []
    assert world.bounded(**enough).all.take(installation()).content_bytes >= 120_000


@pytest.mark.skipif(not ROOT, reason="only root may give files away")
def test_owners_are_kept(world: World) -> None:
    (world.data / "file").touch()
    for path in (world.data, world.data / "file"):
        os.chown(path, 61_234, 61_235)
    world.data.chmod(0o700)
    taken = world.all.take(installation())
    (world.data / "file").unlink()
    world.all.restore(taken)
    for path in (world.data, world.data / "file"):
        assert (path.stat().st_uid, path.stat().st_gid) == (61_234, 61_235)


def test_the_newest_copies_are_kept(world: World) -> None:
    taken = [world.all.take(installation(f"1.{number}")) for number in range(5)]
    (world.folder / "snapshots" / "churn" / ".half-done").mkdir()
    world.all.prune("churn")
    assert [one.version for one in world.all.list("churn")] == ["1.4", "1.3", "1.2"]
    assert world.all.list("churn") == tuple(reversed(taken[2:]))
    assert not (world.folder / "snapshots" / "churn" / ".half-done").exists()
    world.all.prune("unknown")
    assert world.all.list("unknown") == ()


def test_a_copy_is_the_newest_also_when_the_clock_was_set_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would be the first to be removed, at once."""

    class Slow(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) - timedelta(days=1)

    before = [world.all.take(installation(f"1.{number}")) for number in range(3)]
    monkeypatch.setattr(snapshots, "datetime", Slow)
    taken = world.all.take(installation("2.0"))
    world.all.prune("churn")
    assert world.all.list("churn") == (taken, *reversed(before[1:]))


def test_data_on_a_filesystem_of_its_own_comes_back_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_exchange", lambda one, other: False)
    (world.data / "kept").write_text("before")
    taken = world.all.take(installation())
    (world.data / "kept").write_text("after")
    (world.data / "new").mkdir()
    identity = world.data.stat().st_ino
    world.all.restore(taken)
    assert [path.name for path in world.data.iterdir()] == ["kept"]
    assert (world.data / "kept").read_text() == "before"
    assert world.data.stat().st_ino == identity


@pytest.mark.parametrize("taken", [True, False], ids=["taken by the store", "not taken"])
def test_a_trial_that_the_hosts_death_interrupted(world: World, taken: bool) -> None:
    old, new = installation(), installation("2.0.0", datetime(2026, 11, 21, 3, tzinfo=UTC))
    (world.data / "kept").write_text("of 1.0.0")
    world.all.begin_trial(world.all.take(old), new)
    (world.data / "kept").write_text("of 2.0.0")

    brought_back = world.all.recover(new if taken else old)

    assert (world.data / "kept").read_text() == ("of 2.0.0" if taken else "of 1.0.0")
    assert (brought_back and brought_back.version) == (None if taken else "1.0.0")
    (world.data / "kept").write_text("later")
    assert world.all.recover(old) is None
    assert (world.data / "kept").read_text() == "later"


def test_a_trial_that_ended_is_forgotten(world: World) -> None:
    old = installation()
    world.all.begin_trial(world.all.take(old), installation("2.0.0", NOW.replace(hour=3)))
    world.all.end_trial("churn")
    world.all.end_trial("churn")
    assert world.all.recover(old) is None


@pytest.mark.system  # half a second of system calls
def test_however_deep_a_folder_is_it_can_be_removed(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("deep", dir_fd=here)
    inner = os.open("deep", os.O_RDONLY, dir_fd=here)
    for _ in range(1_500):
        os.mkdir("d", dir_fd=inner)
        (lower, inner), _ = (inner, os.open("d", os.O_RDONLY, dir_fd=inner)), None
        os.close(lower)
    os.mkfifo("pipe", dir_fd=inner)
    os.close(inner)
    (tmp_path / "deep" / "closed").mkdir(mode=0)
    (tmp_path / "deep" / "link").symlink_to(tmp_path)

    remove_tree(here, "deep")
    remove_tree(here, "deep")

    os.close(here)
    assert list(tmp_path.iterdir()) == []


def test_data_that_cannot_be_deleted_is_said_and_deleted_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.data / "file").write_text("data")
    world.all.take(installation())

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(snapshots, "remove_tree", refuse)
        with pytest.raises(DataNotDeleted, match="could not be deleted to the end: Read-only file system"):
            world.all.forget("churn")
    world.all.forget("churn")
    assert not world.data.exists()
    assert world.all.list("churn") == ()
