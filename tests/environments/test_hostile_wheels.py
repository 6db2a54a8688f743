"""Installing is an attack too: archives that no honest tool makes, against the product's own installer.

Each refusal has a control: the same thing done without the product's care, where it works.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from virtualenvs import UV

from moorage.config.settings import EnvironmentSettings
from moorage.environments.builder import Environment, EnvironmentBuilder
from moorage.environments.errors import (
    ArchiveUnsound,
    DependenciesUnresolvable,
    EnvironmentRefused,
    EnvironmentTooLarge,
    InstallerFailed,
)
from moorage.models.manifest import Manifest

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

Entry = tuple[str | zipfile.ZipInfo, bytes]
MIB = 1024**2


async def build(builder: EnvironmentBuilder, *dependencies: str) -> Environment:
    manifest = Manifest("churn", "1.0", "churn:plugin", dependencies=dependencies)
    return await builder.build(manifest, progress=lambda _: None)


def site_packages(environment: Environment) -> Path:
    return environment.path / "lib" / environment.interpreter.library / "site-packages"


def write_wheel(wheelhouse: Path, entries: Iterable[Entry], *, name: str = "alpha", requires: str = "") -> Path:
    """A wheel with these entries, whatever they are; RECORD names them all."""
    info = f"{name}-1.0.dist-info"
    needed = f"Requires-Dist: {requires}\n" if requires else ""
    every: list[Entry] = [
        (f"{name}.py", b"value = 1\n"),
        *entries,
        (f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}".encode()),
        (f"{info}/WHEEL", b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    ]
    places = [place.filename if isinstance(place, zipfile.ZipInfo) else place for place, _ in every]
    every.append((f"{info}/RECORD", "".join(f'"{place}",,\n' for place in (*places, f"{info}/RECORD")).encode()))
    wheel = wheelhouse / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in every:
            archive.writestr(place, content)
    return wheel


def naively(wheel: Path, *, target: Path, pythons: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
    """What a host that trusts its plugins does."""
    command = [UV, "pip", "install", "--offline", "--no-deps", "--no-config", "--python", pythons, "--target", target]
    return subprocess.run([*command, wheel], capture_output=True, text=True, timeout=60, check=False)


# -- 113, 115, 118: names that leave the place they are unpacked to ----------------------------------------------


ESCAPES = {
    "up": "../../../../{}",
    "far up": "../" * 20 + "tmp/{}",
    "up from within": "alpha/../../../../../{}",
    "absolute": "/tmp/{}",
    "a drive": "C:\\{}",
    "a drive with a slash": "C:/{}",
    "backslashes": "..\\..\\..\\{}",
    "data folder": "alpha-1.0.data/data/../../../../../{}",
    "scripts folder": "alpha-1.0.data/scripts/../../../../{}",
}


@pytest.mark.parametrize("case", ESCAPES)
async def test_no_name_leaves_the_environment(builder, wheelhouse, state_dir: Path, tmp_path: Path, case: str) -> None:
    name = f"slipped-{os.getpid()}-{list(ESCAPES).index(case)}.py"
    entry = (ESCAPES[case].format(name), b"hostile = True\n")
    write_wheel(wheelhouse, [entry])
    try:
        inside = (await build(builder, "alpha")).path.parent
    except ArchiveUnsound:
        inside = None
    assert not (Path("/tmp") / name).exists()
    found = [file for root in (state_dir, tmp_path) for file in root.rglob(f"*{name}")]
    assert [file for file in found if inside is None or not file.is_relative_to(inside)] == []


def test_an_unpacker_that_trusts_names_is_led_out(wheelhouse: Path, tmp_path: Path) -> None:
    """The control of the names above."""
    wheel = write_wheel(wheelhouse, [("../slipped.py", b"hostile = True\n")])
    target = tmp_path / "target"
    target.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            place = target / entry.filename
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive.read(entry))
    assert (tmp_path / "slipped.py").exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [("module.py", "module.py"), ("module.py", "MODULE.py"), ("alpha.py", "./alpha.py"), ("x/y.py", "x//y.py")],
)
async def test_an_archive_with_a_name_twice_gives_files_of_its_own(
    builder, wheelhouse: Path, first: str, second: str
) -> None:
    """Whichever of the two it is: what was verified is what is there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, of a duplicate name
        write_wheel(wheelhouse, [(first, b"one = 1\n"), (second, b"two = 2\n")])
    try:
        environment = await build(builder, "alpha")
    except (ArchiveUnsound, InstallerFailed):
        return
    files = [file for file in site_packages(environment).rglob("*.py") if file.is_file()]
    assert {file.lstat().st_nlink for file in files} == {1}
    assert all(file.resolve().is_relative_to(environment.path) for file in files)


@pytest.mark.parametrize("name", ["a\x1b[2Jb.py", "a\nb.py"])
async def test_a_name_that_writes_to_terminals_is_refused_and_harmless_in_the_sentence(
    builder, wheelhouse: Path, name: str
) -> None:
    write_wheel(wheelhouse, [(name, b"")])
    with pytest.raises(ArchiveUnsound, match=r"not sound: .* unacceptable filename.* Leave that package out") as raised:
        await build(builder, "alpha")
    assert not {"\x1b", "\n"} & set(str(raised.value))


async def test_a_tree_deeper_than_any_package_is_refused_and_leaves_nothing(
    builder, wheelhouse: Path, state_dir: Path
) -> None:
    """Such as one that Python's own functions cannot remove any more, because they recurse."""
    write_wheel(wheelhouse, [("d/" * 300 + "module.py", b"")])
    with pytest.raises(EnvironmentRefused, match="more than 64 folders deep"):
        await build(builder, "alpha")
    assert not list((state_dir / "environments").glob(".build-*"))
    write_wheel(wheelhouse, [("d/" * 60 + "module.py", b"")])
    await build(builder, "alpha")


# -- 116, 119: what is no file ------------------------------------------------------------------------------------


def _special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o6777) << 16
    return entry


async def test_links_pipes_devices_and_set_uid_programs_become_plain_files(builder, wheelhouse: Path) -> None:
    kinds = {"link": stat.S_IFLNK, "pipe": stat.S_IFIFO, "device": stat.S_IFCHR, "program": stat.S_IFREG}
    write_wheel(wheelhouse, [(_special(f"alpha_{name}", kind), b"/etc/passwd") for name, kind in kinds.items()])
    environment = await build(builder, "alpha")
    found = {file.name: file.lstat() for file in site_packages(environment).glob("alpha_*")}
    assert set(found) == {f"alpha_{name}" for name in kinds}
    for status in found.values():
        assert stat.S_ISREG(status.st_mode)
        assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH)
        assert (status.st_nlink, status.st_size) == (1, len(b"/etc/passwd"))


def test_an_unpacker_that_trusts_kinds_makes_the_link(tmp_path: Path) -> None:
    """The control: a tar archive, unpacked as tarfile did by default before Python 3.14."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as written:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        written.addfile(member)
    archive.seek(0)
    with tarfile.open(fileobj=archive) as read:
        read.extractall(tmp_path, filter="fully_trusted")
    assert (tmp_path / "link").read_text() == Path("/etc/passwd").read_text()


# -- 117: bombs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(builder: EnvironmentBuilder, state_dir: Path, wheelhouse: Path) -> Callable[..., EnvironmentBuilder]:
    """A builder with other bounds; ``builder`` has made the runtime."""

    def make(**bounds: int) -> EnvironmentBuilder:
        return EnvironmentBuilder(EnvironmentSettings(wheelhouse=(wheelhouse,), offline=True, **bounds), state_dir)

    return make


async def test_a_bomb_is_stopped_on_its_way(
    small: Callable[..., EnvironmentBuilder],
    wheelhouse: Path,
    state_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))
    wheel = write_wheel(wheelhouse, [("zeros.bin", bytes(512 * MIB))])
    assert wheel.stat().st_size < MIB
    with pytest.raises(EnvironmentTooLarge, match=r"max_bytes, 0\.015625 GiB\. Leave the large package out"):
        await build(small(max_bytes=16 * MIB), "alpha")
    assert not list((state_dir / "environments").glob(".build-*"))
    written = sum(file.stat().st_blocks * 512 for file in cache.rglob("*") if file.is_file())
    assert written < 400 * MIB, "it was stopped after it had unpacked everything"
    # Without the bound, it unpacks to all of its size.
    done = naively(wheel, target=tmp_path / "naive")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "naive/zeros.bin").stat().st_size == 512 * MIB


async def test_what_unpacks_beyond_the_bound_at_once_is_refused_afterwards(
    small: Callable[..., EnvironmentBuilder], wheelhouse: Path
) -> None:
    write_wheel(wheelhouse, [("zeros.bin", bytes(2 * MIB))])
    with pytest.raises(EnvironmentTooLarge):
        await build(small(max_bytes=MIB), "alpha")
    await build(small(max_bytes=4 * MIB), "alpha")


async def test_too_many_files_are_refused(small: Callable[..., EnvironmentBuilder], wheelhouse: Path) -> None:
    write_wheel(wheelhouse, [(f"many/{number}", b"") for number in range(1100)])
    with pytest.raises(EnvironmentRefused, match=r"more than 1,000 files, and environments\.max_files allows no more"):
        await build(small(max_files=1000), "alpha")
    await build(small(max_files=2000), "alpha")


# -- 120, 121, 122: code that runs on the host ---------------------------------------------------------------------


BACKEND = """
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    open({canary!r}, "w").close()
    raise SystemExit("built")
build_sdist = get_requires_for_build_wheel = lambda *_, **__: open({canary!r}, "w").close() or []
"""


def write_source(folder: Path, canary: Path) -> Path:
    """A project whose build backend is its own, and needs nothing."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        "[project]\nname = 'alpha'\nversion = '1.0'\n"
    )
    (folder / "backend.py").write_text(BACKEND.format(canary=str(canary)))
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n")
    return folder


@pytest.mark.parametrize("form", ["a folder", "an archive"])
async def test_no_build_backend_runs(builder, wheelhouse: Path, make_wheel, tmp_path: Path, form: str) -> None:
    canary = tmp_path / "canary"
    source = write_source(tmp_path / "source/alpha-1.0", canary)
    if form == "an archive":
        with tarfile.open(wheelhouse / "alpha-1.0.tar.gz", "w:gz") as archive:
            archive.add(source, "alpha-1.0")
        source = wheelhouse / "alpha-1.0.tar.gz"
    else:
        shutil.copytree(source, wheelhouse / "alpha-1.0")
    with pytest.raises(DependenciesUnresolvable):
        await build(builder, "alpha")
    # By its path, too: nothing says so in a manifest, and should it ever get here.
    with pytest.raises((InstallerFailed, DependenciesUnresolvable)):
        await build(builder, f"alpha @ {source.as_uri()}")
    assert not canary.exists()
    naively(source, target=tmp_path / "naive")
    assert canary.exists(), "the control: the backend does run when it may"


PTH_PLACES = ("alpha.pth", "alpha-1.0.data/purelib/alpha.pth", "alpha-1.0.data/platlib/alpha.pth")


@pytest.mark.parametrize("place", PTH_PLACES)
async def test_a_pth_file_runs_on_no_operation_of_the_loader(
    builder: EnvironmentBuilder, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """With an empty cache: with a full one uv asks no Python, which would hide it."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    canary = tmp_path / "canary"
    wheel = write_wheel(wheelhouse, [(place, f"import os; open({str(canary)!r}, 'w')\n".encode())])
    with pytest.raises(EnvironmentRefused, match=r"alpha\.pth, which runs code at every start of Python"):
        await build(builder, "alpha")
    assert not canary.exists()
    target = tmp_path / "naive"
    naively(wheel, target=target)
    assert not canary.exists()
    code = f"import site; site.addsitedir({str(target)!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], timeout=60, check=True)
    assert canary.exists(), "the control: Python runs it"


async def test_a_script_named_python_never_stands_in_for_it(builder, wheelhouse: Path, tmp_path: Path) -> None:
    wheel = write_wheel(wheelhouse, [("alpha-1.0.data/scripts/python3", b"#!/bin/sh\necho hostile\n")])
    with pytest.raises((EnvironmentRefused, InstallerFailed), match="python3"):
        await build(builder, "alpha")
    done = naively(wheel, target=tmp_path / "naive")
    script = tmp_path / "naive/bin/python3"
    if done.returncode == 0:
        assert subprocess.run([script], capture_output=True, timeout=60, check=True).stdout == b"hostile\n"


# -- 124: files shared between environments -------------------------------------------------------------------------


async def test_no_file_is_shared_with_the_cache(builder, wheelhouse: Path, tmp_path: Path) -> None:
    wheel = write_wheel(wheelhouse, [("module.py", b"")])
    environment = await build(builder, "alpha")
    links = {file.lstat().st_nlink for file in environment.path.rglob("*") if file.is_file() and not file.is_symlink()}
    assert links == {1}
    # The control: installed with hard links, a write through one environment changes the other.
    for name in ("one", "two"):
        command = [UV, "pip", "install", "--offline", "--no-config", "--python", sys.executable]
        command += ["--cache-dir", tmp_path / "cache", "--link-mode", "hardlink", "--target", tmp_path / name, wheel]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
    (tmp_path / "one/module.py").write_text("hostile = True\n")
    assert (tmp_path / "two/module.py").read_text() == "hostile = True\n"


# -- 125: from elsewhere --------------------------------------------------------------------------------------------


ADDRESSES: Mapping[str, str] = {
    "a file": "beta @ file://{wheelhouse}/beta-1.0-py3-none-any.whl",
    "the web": "beta @ https://localhost:1/beta-1.0-py3-none-any.whl",
    "a repository": "beta @ git+https://localhost:1/beta",
}


@pytest.mark.parametrize("case", ADDRESSES)
async def test_a_dependency_that_brings_another_by_address_is_refused(
    builder: EnvironmentBuilder, wheelhouse: Path, case: str
) -> None:
    write_wheel(wheelhouse, [], name="beta")
    write_wheel(wheelhouse, [], requires=ADDRESSES[case].format(wheelhouse=wheelhouse))
    with pytest.raises(DependenciesUnresolvable, match="asks for beta by an address, and packages come by name"):
        await build(builder, "alpha")
    write_wheel(wheelhouse, [], requires="beta")
    await build(builder, "alpha")


@pytest.mark.parametrize("line", ["-e {source}", "--find-links {source}", "{source}"])
async def test_installer_options_are_no_dependencies(
    builder: EnvironmentBuilder, wheelhouse: Path, tmp_path: Path, line: str
) -> None:
    """The manifest's reader refuses them; this is what stands behind it: whatever uv makes of them, no lock does."""
    canary = tmp_path / "canary"
    source = write_source(tmp_path / "source", canary)
    with pytest.raises((DependenciesUnresolvable, InstallerFailed)):
        await build(builder, line.format(source=source), "alpha")
    assert not canary.exists()
