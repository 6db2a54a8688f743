from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from moorage.environments.builder import lay_out
from moorage.environments.errors import EnvironmentRefused
from moorage.environments.install import compile_tree, move_scripts
from moorage.environments.interpreters import Interpreter, Interpreters

PYTHON = Interpreter(Path("/opt/x/bin/python3.11"), "3.11.7", Path("/opt/x"), "cpython-311")


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "venv", PYTHON)


def _script(site_packages: Path, name: str, content: str, mode: int = 0o755) -> None:
    script = site_packages / "bin" / name
    script.parent.mkdir(exist_ok=True)
    script.write_text(content)
    script.chmod(mode)


def test_a_virtualenv_is_laid_out_as_its_worker_sees_it(tmp_path: Path, site_packages: Path) -> None:
    venv = tmp_path / "venv"
    assert site_packages == venv / "lib/python3.11/site-packages"
    links = {path.relative_to(venv).as_posix(): str(path.readlink()) for path in venv.rglob("*") if path.is_symlink()}
    assert links == {
        "bin/python": "/py/bin/python3.11",
        "bin/python3": "python",
        "bin/python3.11": "python",
        "lib64": "lib",
    }
    assert "home = /py/bin\n" in (venv / "pyvenv.cfg").read_text()
    assert not any(b"/opt/x" in file.read_bytes() for file in venv.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("content", "moved"),
    [
        ("#!/opt/x/bin/python3.11\nprint()\n", "#!/venv/bin/python\nprint()\n"),
        ("#!/bin/sh\n'''exec' '/opt/a long/python3' \"$0\" \"$@\"\n' '''\nprint()\n", "#!/venv/bin/python\nprint()\n"),
        ("#!/bin/sh\necho\n", "#!/bin/sh\necho\n"),
        ("\x7fELF", "\x7fELF"),
    ],
)
def test_scripts_are_run_by_the_virtualenvs_own_python(site_packages: Path, content: str, moved: str) -> None:
    programs = site_packages.parents[2] / "bin"
    _script(site_packages, "tool", content)
    move_scripts(site_packages, programs, "/venv/bin/python")
    assert (programs / "tool").read_text() == moved
    assert (programs / "tool").stat().st_mode & 0o111 == 0o111
    assert not (site_packages / "bin").exists()


@pytest.mark.parametrize("name", ["python", "python3", "python3.11", "Python3.9", "pydoc", "pythonw.exe"])
def test_scripts_that_stand_in_for_python_are_refused(site_packages: Path, name: str) -> None:
    programs = site_packages.parents[2] / "bin"
    _script(site_packages, name, "#!/bin/sh\n")
    with pytest.raises(EnvironmentRefused, match=f"a script named {name}, which would stand in for Python's own"):
        move_scripts(site_packages, programs, "/venv/bin/python")
    assert str((programs / "python").readlink()) == "/py/bin/python3.11"


def test_a_package_named_bin_stays(site_packages: Path) -> None:
    _script(site_packages, "__init__.py", "", mode=0o644)
    move_scripts(site_packages, site_packages.parents[2] / "bin", "/venv/bin/python")
    assert (site_packages / "bin/__init__.py").exists()


def test_importlib_finds_moved_scripts(site_packages: Path) -> None:
    _script(site_packages, "tool", "#!/opt/x/bin/python3.11\n")
    info = site_packages / "tool-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
    (info / "RECORD").write_text("bin/tool,sha256=x,3\ntool-1.0.dist-info/RECORD,,\n")
    move_scripts(site_packages, site_packages.parents[2] / "bin", "/venv/bin/python")
    (found,) = importlib.metadata.distributions(path=[str(site_packages)])
    assert found.files is not None
    assert Path(str(found.locate_file(found.files[0]))).resolve() == site_packages.parents[2] / "bin/tool"


@pytest.mark.system
async def test_bytecode_is_written_by_looking_and_shows_the_workers_path(tmp_path: Path) -> None:
    tree, canary = tmp_path / "tree", tmp_path / "canary"
    tree.mkdir()
    (tree / "module.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (tree / "broken.py").write_text("def\n")
    (tree / "sitecustomize.py").write_text(f"open({str(canary)!r}, 'w')\n")
    interpreter = await Interpreters().choose("test", f"=={sys.version_info.major}.{sys.version_info.minor}.*")
    await compile_tree(interpreter, {tree: "/venv/lib"})
    (compiled,) = (tree / "__pycache__").glob("module.*.pyc")
    assert b"/venv/lib/module.py" in compiled.read_bytes()
    assert str(tmp_path).encode() not in compiled.read_bytes().replace(str(canary).encode(), b"")
    assert not canary.exists()
