"""From grants to what a worker sees: what is taken, what is refused, and in which words."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from moorage.models.rights import sentence, widens_sandbox
from moorage.supervisor import widening
from moorage.supervisor.widening import GrantUnusable, openings_of, widening_of
from moorage_proto.capability import SANDBOX_VERBS, CapabilityInvalid, Grants, parse
from moorage_sandbox.widening import NONE, Opening, Widening


def grants(*allow: str, deny: tuple[str, ...] = ()) -> Grants:
    return Grants(tuple(map(parse, allow)), tuple(map(parse, deny)))


def openings(text: str, *private: Path) -> tuple[Opening, ...]:
    return openings_of(widening_of(grants(text)), private)


@pytest.fixture
def place():
    """A folder that no symbolic link leads to, outside of every place of the sandbox's own."""
    folder = Path("/var/tmp") / f"moorage-test-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    yield folder
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def test_other_rights_widen_nothing() -> None:
    assert widening_of(grants("sql.read:users", "config.read:**")) == NONE
    assert not widening_of(grants())


def test_each_grant_is_taken_once_and_in_order() -> None:
    wide = widening_of(
        grants("files.read:/b", "files.read:/a/**", "sandbox.proc", "sandbox.device:/dev/x", "sandbox.subprocess")
    )
    assert wide == Widening(subprocess=True, proc=True, files=("/a/**", "/b"), devices=("/dev/x",))


@pytest.mark.parametrize(
    "rule", ["files.read:/srv/**", "files.read:/srv/models/**", "files.read:/srv/models/private/**"]
)
def test_a_deny_of_all_or_a_part_takes_a_folder_away(rule) -> None:
    assert widening_of(grants("files.read:/srv/models/**", deny=(rule,))) == NONE
    assert widening_of(grants("files.read:/opt/**", deny=(rule,))) != NONE


def test_links_are_resolved_and_the_granted_name_is_kept(place) -> None:
    (place / "v5").mkdir()
    (place / "current").symlink_to(place / "v5")
    found = (place / "v5").stat()
    assert openings(f"files.read:{place}/current/**") == (
        Opening(f"{place}/v5", f"{place}/current", "files", (found.st_dev, found.st_ino)),
    )


def test_a_link_out_of_a_folder_is_judged_by_where_it_leads(place) -> None:
    (place / "link").symlink_to("/proc")
    with pytest.raises(GrantUnusable, match="doors"):
        openings(f"files.read:{place}/link/**")


@pytest.mark.parametrize(
    "text", ["/proc/**", "/sys/**", "/dev/**", "/run/**", "/venv/**", "/data/x", "/usr/**", "/etc/**", "/tmp/**"]
)
def test_places_of_kernel_and_sandbox_are_refused(text) -> None:
    with pytest.raises(GrantUnusable) as refused:
        openings(f"files.read:{text}")
    assert "Revoke it" in str(refused.value)


def test_folders_of_the_hosts_own_are_refused_from_both_sides(place) -> None:
    state = place / "state"
    (state / "store").mkdir(parents=True)
    for text in (f"{place}/**", f"{state}/**", f"{state}/store/**"):
        with pytest.raises(GrantUnusable, match="Moorage's own"):
            openings(f"files.read:{text}", state)
    (place / "other").mkdir()
    assert openings(f"files.read:{place}/other/**", state)


def test_a_socket_is_no_file_and_makes_its_folder_no_folder(place) -> None:
    (place / "in").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "in" / "engine.sock"))
        with pytest.raises(GrantUnusable, match="no ordinary file"):
            openings(f"files.read:{place}/in/engine.sock")
        with pytest.raises(GrantUnusable, match="is a socket"):
            openings(f"files.read:{place}/**")


def test_a_named_pipe_makes_its_folder_no_folder(place) -> None:
    (place / "in").mkdir()
    assert openings(f"files.read:{place}/**")
    os.mkfifo(place / "in" / "orders")
    with pytest.raises(GrantUnusable, match="is a named pipe"):
        openings(f"files.read:{place}/**")


def test_what_vanishes_while_it_is_looked_at_hides_nothing(place, monkeypatch) -> None:
    for name in ("gone", "pipe"):
        os.mkfifo(place / name)
    scan = os.scandir

    class Vanishing:
        """The first entry goes between being listed and being looked at."""

        def __init__(self, path: str) -> None:
            with scan(path) as entries:
                self._entries = sorted(entries, key=lambda entry: entry.name)
            os.unlink(self._entries[0].path)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self._entries

        def __exit__(self, *_: object) -> None:
            """Closed already."""

    monkeypatch.setattr(os, "scandir", Vanishing)
    with pytest.raises(GrantUnusable, match="pipe is a named pipe"):
        openings(f"files.read:{place}/**")


def test_kinds_must_fit(place) -> None:
    (place / "file").write_text("")
    os.mkfifo(place / "fifo")
    for text, words in ((f"{place}/file/**", "no folder"), (str(place), "is a folder"), (f"{place}/fifo", "ordinary")):
        with pytest.raises(GrantUnusable, match=words):
            openings(f"files.read:{text}")
    with pytest.raises(GrantUnusable, match="No such file"):
        openings(f"files.read:{place}/absent")


@pytest.mark.parametrize(
    ("path", "words"), [("/dev/tty", "terminal"), ("/dev/shm", "character device"), ("/dev/absent", "No such")]
)
def test_devices_that_are_doors_are_refused(path, words) -> None:
    with pytest.raises(GrantUnusable, match=words):
        openings(f"sandbox.device:{path}")


@pytest.mark.parametrize(
    ("major", "minor", "words"),
    [
        (1, 1, "memory"), (1, 11, "log"), (5, 1, "terminal"), (7, 1, "screens"), (10, 229, "mounts"),
        (10, 130, "restarts"),
        (10, 236, "block devices"), (13, 64, "keyboard"), (21, 0, "disk"), (136, 3, "terminal"), (143, 3, "terminal"),
        (202, 0, "registers"),
    ],
)  # fmt: skip
def test_devices_are_judged_by_their_numbers(monkeypatch, major, minor, words) -> None:
    """Made-up ones: not every machine has them, and not every user may make them."""
    _there_is_a_device(monkeypatch, 1, 3)
    assert openings("sandbox.device:/dev/x")
    _there_is_a_device(monkeypatch, major, minor)
    with pytest.raises(GrantUnusable, match=words):
        openings("sandbox.device:/dev/x")


def test_a_device_of_a_refused_subsystem(monkeypatch) -> None:
    """Those whose numbers the kernel gives out as they come."""
    _there_is_a_device(monkeypatch, 511, 7)
    for name in ("drm", "nvme-generic"):
        monkeypatch.setattr(os.path, "realpath", lambda path, name=name: f"/sys/class/{name}")
        if name == "drm":
            assert openings("sandbox.device:/dev/x")
    with pytest.raises(GrantUnusable, match="disk"):
        openings("sandbox.device:/dev/x")


def _there_is_a_device(monkeypatch, major: int, minor: int) -> None:
    found = SimpleNamespace(st_mode=stat.S_IFCHR | 0o666, st_rdev=os.makedev(major, minor), st_dev=5, st_ino=7)
    monkeypatch.setattr(widening, "_resolved", lambda _, path: (path, found))


@pytest.mark.parametrize(
    "text",
    ["files.read:/**", "files.read:/", "files.read:srv", "files.read:/a/../b", "files.read:/a/*", "files.read://a",
     "sandbox.proc:all", "sandbox.device:/etc/passwd", "sandbox.other"],
)  # fmt: skip
def test_one_spelling_and_no_whole_machine(text) -> None:
    with pytest.raises(CapabilityInvalid):
        parse(text)


@pytest.mark.parametrize(
    "text", ["sandbox.subprocess", "sandbox.proc", "files.read:/srv/**", "files.read:/srv/a", "sandbox.device:/dev/x"]
)
def test_each_is_said_in_plain_words(text) -> None:
    right = parse(text)
    assert str(right) == text
    assert right.verb in SANDBOX_VERBS
    assert widens_sandbox(right)
    assert len(sentence(right)) > 40
