"""Environments that are really built: by uv, from wheels made here, some of them hostile."""

from __future__ import annotations

import asyncio
import importlib.metadata
import io
import os
import subprocess
import sys
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from moorage.config.settings import EnvironmentSettings
from moorage.environments.builder import Environment, EnvironmentBuilder
from moorage.environments.errors import (
    DependenciesUnresolvable,
    EnvironmentMissing,
    EnvironmentRefused,
    InstallerFailed,
    NoInterpreter,
)
from moorage.environments.install import install
from moorage.environments.interpreters import Interpreters
from moorage.environments.lock import resolve
from moorage.environments.uv import Uv
from moorage.models.manifest import Manifest

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


def _manifest(*dependencies: str, requires_python: str = "") -> Manifest:
    return Manifest("churn", "1.0", "churn:plugin", requires_python=requires_python, dependencies=dependencies)


async def _build(builder: EnvironmentBuilder, *dependencies: str) -> Environment:
    return await builder.build(_manifest(*dependencies), progress=lambda _: None)


def _site_packages(environment: Environment) -> Path:
    return environment.path / "lib" / environment.interpreter.library / "site-packages"


def _installed(environment: Environment) -> dict[str, str]:
    found = importlib.metadata.distributions(path=[str(_site_packages(environment))])
    return {entry.metadata["Name"]: entry.version for entry in found}


async def test_an_environment_holds_what_the_lock_says(builder: EnvironmentBuilder, make_wheel) -> None:
    make_wheel("alpha", requires=("beta>=1",), entry_points="[console_scripts]\nalpha = alpha:main\n")
    make_wheel("beta", version="1.5")
    said: list[str] = []
    environment = await builder.build(_manifest("alpha"), progress=said.append)
    assert _installed(environment) == {"alpha": "1.0", "beta": "1.5"}
    assert "--hash=sha256:" in environment.lock.read_text()
    assert "://" not in environment.lock.read_text()
    assert (environment.path / "bin/alpha").read_text().startswith("#!/venv/bin/python\n")
    assert any((_site_packages(environment) / "__pycache__").glob("alpha.*.pyc"))
    assert said[-2:] == ["Installing 2 packages for churn 1.0.", "The environment of churn 1.0 is complete."]
    assert not environment.pins_runtime
    assert await builder.get(environment.key) == environment
    files = [file for file in environment.path.rglob("*") if not file.is_symlink()]
    assert all(file.stat().st_mode & 0o004 for file in files)
    state = str(environment.path.parents[2]).encode()
    assert not [file for file in files if file.is_file() and state in file.read_bytes()]


async def test_the_same_lock_is_the_same_environment_and_another_another(builder, make_wheel) -> None:
    make_wheel("alpha")
    first = await _build(builder, "alpha")
    marker = first.path / "marker"
    marker.touch()
    assert await _build(builder, "alpha>=0.1") == first
    assert marker.exists()
    marker.unlink()
    make_wheel("alpha", version="2.0")
    second = await _build(builder, "alpha")
    assert second.key != first.key
    assert (_installed(first), _installed(second)) == ({"alpha": "1.0"}, {"alpha": "2.0"})


async def test_a_wheel_with_other_content_is_another_environment(builder, make_wheel) -> None:
    make_wheel("alpha", {"alpha.py": "value = 1\n"})
    first = await _build(builder, "alpha")
    make_wheel("alpha", {"alpha.py": "value = 2\n"})
    second = await _build(builder, "alpha")
    assert first.key != second.key
    assert (_site_packages(second) / "alpha.py").read_text() == "value = 2\n"


async def test_no_dependencies_are_an_environment_too(builder: EnvironmentBuilder) -> None:
    environment = await _build(builder)
    assert _installed(environment) == {}
    assert environment.lock.read_text() == ""
    assert environment.protobuf
    assert environment.grpcio


async def test_the_runtime_holds_grpc_and_the_sdk(builder: EnvironmentBuilder) -> None:
    environment = await _build(builder)
    runtime = await builder.runtime(environment)
    assert runtime.packages["protobuf"] == environment.protobuf
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import grpc, google.protobuf, moorage_sdk, moorage_proto.link_pb2; "
        "print(grpc.__version__, google.protobuf.__version__)"
    )
    folders = [str(runtime.sdk_path), str(runtime.runtime_path)]
    trusted = subprocess.run(
        [str(environment.interpreter.path), "-I", "-S", "-c", code, *folders],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert trusted.stdout == f"{environment.grpcio} {environment.protobuf}\n"
    assert any((runtime.sdk_path / "moorage_sdk/__pycache__").iterdir())


async def test_what_the_host_provides_is_left_out_of_locks(builder, make_wheel) -> None:
    make_wheel("alpha", requires=("moorage-sdk>=0.1", "beta"))
    make_wheel("beta")
    assert _installed(await _build(builder, "alpha")) == {"alpha": "1.0", "beta": "1.0"}


async def test_a_name_in_the_wheelhouse_is_not_taken_from_the_index(state_dir, wheelhouse, make_wheel) -> None:
    """The public index has a package of this name with higher versions."""
    make_wheel("idna", version="0.1")
    builder = EnvironmentBuilder(EnvironmentSettings(wheelhouse=(wheelhouse,)), state_dir)
    assert _installed(await _build(builder, "idna")) == {"idna": "0.1"}
    with pytest.raises(DependenciesUnresolvable, match=r"only idna==0\.1 is available"):
        await _build(builder, "idna>=1")
    without = EnvironmentBuilder(EnvironmentSettings(), state_dir)
    assert _installed(await _build(without, "idna>=1"))["idna"] > "1"


async def test_unresolvable_dependencies_are_explained(builder, make_wheel) -> None:
    make_wheel("alpha", requires=("beta>=2",))
    make_wheel("beta")
    with pytest.raises(DependenciesUnresolvable) as raised:
        await _build(builder, "alpha")
    sentence = str(raised.value)
    assert "churn 1.0" in sentence
    assert "beta" in sentence
    assert "environments.wheelhouse" in sentence
    assert not [word for word in ("/", "hint", "--") if word in sentence]


async def test_no_interpreter(builder: EnvironmentBuilder) -> None:
    with pytest.raises(NoInterpreter, match=r"churn 1\.0 requires Python >=3\.99"):
        await builder.build(_manifest(requires_python=">=3.99"), progress=lambda _: None)


async def test_an_installer_that_takes_too_long_is_ended(state_dir: Path, wheelhouse: Path, make_wheel) -> None:
    make_wheel("alpha", {"alpha.py": "value = 'never installed'\n"})
    settings = EnvironmentSettings(wheelhouse=(wheelhouse,), offline=True, timeout=timedelta(milliseconds=1))
    with pytest.raises(InstallerFailed, match=r"took longer than environments\.timeout, 0\.001 s"):
        await _build(EnvironmentBuilder(settings, state_dir), "alpha")


def _sdist(wheelhouse: Path, canary: Path) -> None:
    setup = f"open({str(canary)!r}, 'w')\nfrom setuptools import setup\nsetup(name='alpha', version='1.0')\n"
    with tarfile.open(wheelhouse / "alpha-1.0.tar.gz", "w:gz") as archive:
        for name, text in (("setup.py", setup), ("PKG-INFO", "Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n")):
            member = tarfile.TarInfo(f"alpha-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


async def test_source_distributions_are_refused_unbuilt(builder, wheelhouse, make_wheel, tmp_path: Path) -> None:
    _sdist(wheelhouse, tmp_path / "canary")
    with pytest.raises(DependenciesUnresolvable, match=r"alpha.*has no usable wheels"):
        await _build(builder, "alpha")
    assert not (tmp_path / "canary").exists()
    make_wheel("alpha")
    assert _installed(await _build(builder, "alpha")) == {"alpha": "1.0"}


async def test_a_pth_file_with_code_is_refused(builder, make_wheel, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    make_wheel("alpha", {"alpha.py": "", "alpha.pth": f"import os; open({str(canary)!r}, 'w')\n"})
    with pytest.raises(EnvironmentRefused, match=r"alpha\.pth, which runs code at every start of Python"):
        await _build(builder, "alpha")
    assert not canary.exists()
    make_wheel("alpha", {"alpha.py": "", "alpha.pth": "folder\n"})
    await _build(builder, "alpha")


async def test_no_code_of_a_plugin_runs_on_the_host(builder, make_wheel, tmp_path: Path) -> None:
    """Modules that Python, uv or a tool might import by themselves; each tells when it is."""
    canary = tmp_path / "canary"
    trap = f"open({str(canary)!r}, 'w').close()\n"
    names = (
        "sitecustomize",
        "usercustomize",
        "pip",
        "setuptools",
        "packaging",
        "encodings",
        "compileall",
        "json",
        "alpha",
    )
    make_wheel("alpha", {f"{name}/__init__.py": trap for name in names} | {f"{name}.py": trap for name in names})
    environment = await _build(builder, "alpha")
    await builder.get(environment.key)
    await builder.runtime(environment)
    await _build(builder, "alpha")
    assert not canary.exists()
    # The trap does work.
    code = f"import sys; sys.path.insert(0, {str(_site_packages(environment))!r}); import alpha"
    subprocess.run([sys.executable, "-I", "-c", code], timeout=60, check=True)
    assert canary.exists()


@pytest.mark.parametrize("name", ["python3", "python"])
async def test_a_script_that_stands_in_for_python_is_refused(builder, make_wheel, name: str) -> None:
    make_wheel("alpha", scripts={name: "#!python\nprint('hostile')\n"})
    with pytest.raises((EnvironmentRefused, InstallerFailed), match=name):
        await _build(builder, "alpha")
    make_wheel("alpha", scripts={"tool": "#!python\nprint('useful')\n"})
    environment = await _build(builder, "alpha")
    assert (environment.path / "bin/tool").read_text().startswith("#!/venv/bin/python\n")
    assert str((environment.path / "bin/python").readlink()).startswith("/py/bin/python3.")


@pytest.mark.parametrize(
    "place", ["../../../../{}", "../../../../../../../../../../../../../../../..{}", "{}", "alpha/../../../../../{}"]
)
async def test_names_that_leave_the_environment_write_nothing_outside(
    builder, make_wheel, state_dir: Path, tmp_path: Path, place: str
) -> None:
    name = f"slipped-{os.getpid()}.py"
    target = str(tmp_path / name) if place.endswith(("..{}", "{}")) and "../{}" not in place else name
    make_wheel("alpha", {"alpha.py": "", place.format(target): "hostile = True\n"})
    try:
        allowed = {(await _build(builder, "alpha")).path}
    except InstallerFailed:
        allowed = set()
    outside = [
        file
        for root in (state_dir, tmp_path)
        for file in root.rglob(name)
        if not any(file.is_relative_to(folder) for folder in allowed)
    ]
    assert outside == []


async def test_a_package_cannot_overwrite_the_layout(builder, make_wheel) -> None:
    make_wheel("alpha", {"alpha.py": "", "alpha-1.0.data/data/pyvenv.cfg": "home = /evil\n"})
    environment = await _build(builder, "alpha")
    assert "home = /py/bin\n" in (environment.path / "pyvenv.cfg").read_text()


async def test_files_are_copies_of_their_own(builder, make_wheel) -> None:
    make_wheel("alpha")
    make_wheel("beta")
    first, second = await _build(builder, "alpha"), await _build(builder, "alpha", "beta")
    assert first.key != second.key
    for environment in (first, second):
        assert (_site_packages(environment) / "alpha.py").stat().st_nlink == 1


async def test_a_wheel_that_changed_after_it_was_locked_is_not_installed(
    make_wheel, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = (await Interpreters().found())[0]
    uv = Uv(EnvironmentSettings(wheelhouse=(wheelhouse,), offline=True), tmp_path)
    wheel = make_wheel("alpha")
    locked = wheel.read_bytes()
    lock = tmp_path / "lock.txt"
    lock.write_text(await resolve(uv, "churn", interpreter, ("alpha",), {}))
    # Another cache: what was locked would be installed from the first one, correctly.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    make_wheel("alpha", {"alpha.py": "hostile = True\n"})
    with pytest.raises(InstallerFailed, match=r"(?i)hash mismatch"):
        await install(uv, "Installing", interpreter, lock, tmp_path / "installed")
    assert not list(tmp_path.glob("installed/alpha*"))
    wheel.write_bytes(locked)
    await install(uv, "Installing", interpreter, lock, tmp_path / "installed")
    assert (tmp_path / "installed/alpha.py").read_text() == "value = 1\n"


async def test_builders_at_the_same_time_build_once(builder, make_wheel, state_dir, wheelhouse) -> None:
    make_wheel("alpha", {"alpha.py": "value = 'at once'\n"})
    settings = EnvironmentSettings(wheelhouse=(wheelhouse,), offline=True)
    said: list[str] = []
    builders = [EnvironmentBuilder(settings, state_dir) for _ in range(3)]
    built = await asyncio.gather(*(each.build(_manifest("alpha"), progress=said.append) for each in builders))
    assert len({environment.key for environment in built}) == 1
    assert said.count("The environment of churn 1.0 is complete.") == 1


async def test_a_cancelled_build_leaves_nothing(builder, make_wheel, state_dir: Path) -> None:
    make_wheel("alpha", {"alpha.py": "value = 'cancelled'\n"})
    installing = asyncio.Event()

    def progress(sentence: str) -> None:
        if sentence.startswith("Installing 1 package "):
            installing.set()

    building = asyncio.create_task(builder.build(_manifest("alpha"), progress=progress))
    async with asyncio.timeout(60):
        await installing.wait()
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert not list((state_dir / "environments").glob(".build-*"))
    await _build(builder, "alpha")


async def test_orphans_are_collected_and_then_missing(builder, make_wheel) -> None:
    make_wheel("alpha", {"alpha.py": "value = 'orphan'\n"})
    kept, orphan = await _build(builder), await _build(builder, "alpha")
    assert orphan.key in builder.collect({kept.key})
    assert await builder.get(kept.key) == kept
    with pytest.raises(EnvironmentMissing, match="Install the plugin again"):
        await builder.get(orphan.key)


async def test_an_older_python_with_an_old_protobuf_has_its_own(state_dir: Path) -> None:
    if not any(interpreter.minor == "3.9" for interpreter in await Interpreters().found()):
        pytest.skip("no Python 3.9 is installed")
    builder = EnvironmentBuilder(EnvironmentSettings(), state_dir)
    manifest = _manifest("protobuf>=3.20.2,<3.21", "idna", requires_python="==3.9.*")
    environment = await builder.build(manifest, progress=lambda _: None)
    assert environment.python.startswith("3.9.")
    assert environment.protobuf.startswith("3.20.")
    assert environment.pins_runtime
    runtime = await builder.runtime(environment)
    assert runtime.packages["grpcio"] == environment.grpcio
    newest = await builder.build(_manifest("protobuf", requires_python="==3.9.*"), progress=lambda _: None)
    assert newest.protobuf == runtime.packages["protobuf"]
    assert not newest.pins_runtime
