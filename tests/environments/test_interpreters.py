from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from moorage.environments.errors import NoInterpreter
from moorage.environments.interpreters import Interpreter, Interpreters, candidates, choose

HOST = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHER = "3.12" if HOST != "3.12" else "3.13"


def _program(place: Path, content: bytes = b"\x7fELF") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    place.chmod(0o755)
    return place.resolve()


def test_interpreters_are_looked_for_where_people_keep_them(tmp_path: Path) -> None:
    named = _program(tmp_path / "opt/odd-name")
    own = _program(tmp_path / "home/.pyenv/versions/3.11.7/bin/python3.11")
    sibling = _program(tmp_path / "home/.pyenv/versions/3.9.18/bin/python3.9")
    managed = _program(tmp_path / "home/.local/share/uv/python/cpython-3.13/bin/python3.13")
    on_path = _program(tmp_path / "usr/bin/python3.10")
    _program(tmp_path / "usr/bin/python3.10-config")
    _program(tmp_path / "shims/python3.12", b"#!/usr/bin/env bash\n")
    (tmp_path / "usr/bin/python3.8").symlink_to("nowhere")
    (tmp_path / "usr/bin/python3.7").symlink_to("python3.7")
    (tmp_path / "usr/bin/python3.11").symlink_to(own)
    environ = {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path}/shims:{tmp_path}/missing::{tmp_path}/usr/bin"}
    found = candidates([named, tmp_path / "missing"], environ, own.parent.parent)
    assert found == (named, own, on_path, sibling, managed)


def test_pyenv_and_uv_may_be_elsewhere(tmp_path: Path) -> None:
    pyenv = _program(tmp_path / "a/versions/3.9.18/bin/python3.9")
    managed = _program(tmp_path / "b/cpython-3.13/bin/python3.13")
    environ = {"PYENV_ROOT": str(tmp_path / "a"), "UV_PYTHON_INSTALL_DIR": str(tmp_path / "b")}
    assert candidates([], environ, tmp_path) == (pyenv, managed)


def _interpreter(version: str, prefix: str = "/opt") -> Interpreter:
    minor = version.rpartition(".")[0]
    return Interpreter(Path(f"{prefix}/bin/python{minor}"), version, Path(prefix), "cpython")


FOUND = [_interpreter("3.8.1"), _interpreter("3.9.18"), _interpreter(f"{OTHER}.1"), _interpreter(f"{HOST}.4")]


@pytest.mark.parametrize(
    ("requires", "prefer", "version"),
    [
        ("", (), f"{HOST}.4"),
        (">=3.9", (), f"{HOST}.4"),
        ("==3.9.*", (), "3.9.18"),
        (f"!={HOST}.*", (), f"{OTHER}.1"),
        (">=3.9", ("3.10", "3.9"), "3.9.18"),
        (">=3.10", ("3.9",), f"{HOST}.4"),
        ("<3.9", (), None),
        (">=3.99", (), None),
    ],
)
def test_which_interpreter_a_plugin_gets(requires: str, prefer: tuple[str, ...], version: str | None) -> None:
    chosen = choose(FOUND, requires, prefer)
    assert (chosen.version if chosen else None) == version


def test_of_one_version_the_first_found_is_used() -> None:
    named, other = _interpreter(f"{HOST}.1", "/named"), _interpreter(f"{HOST}.9", "/other")
    assert choose([named, other], "") is named


@pytest.mark.system
async def test_this_very_python_is_found_and_known_by_its_prefix() -> None:
    found = await Interpreters().found()
    own = next(interpreter for interpreter in found if interpreter.prefix == Path(sys.base_prefix).resolve())
    assert own.version == ".".join(map(str, sys.version_info[:3]))
    assert own.path == own.prefix / "bin" / f"python{HOST}"
    assert (own.minor, own.library) == (HOST, f"python{HOST}")


@pytest.mark.system
async def test_what_does_not_answer_as_a_python_is_left_out(tmp_path: Path) -> None:
    impostors = [tmp_path / "python3.12", tmp_path / "python3.13"]
    shutil.copy("/bin/false", impostors[0])
    shutil.copy("/bin/echo", impostors[1])
    found = await Interpreters(impostors).found()
    assert found
    assert not {interpreter.path for interpreter in found} & set(impostors)


@pytest.mark.system
async def test_a_virtualenv_named_by_the_operator_stands_for_its_base(tmp_path: Path) -> None:
    link = tmp_path / "bin/python"
    link.parent.mkdir()
    link.symlink_to(os.path.realpath(sys.executable))
    (tmp_path / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    first = (await Interpreters([link]).found())[0]
    assert first.prefix == Path(sys.base_prefix).resolve()


@pytest.mark.system
async def test_no_interpreter_says_what_was_found_and_what_to_do() -> None:
    with pytest.raises(NoInterpreter) as raised:
        await Interpreters().choose("churn 1.0", ">=3.99")
    sentence = str(raised.value)
    assert "churn 1.0 requires Python >=3.99" in sentence
    assert ".".join(map(str, sys.version_info[:3])) in sentence
    assert "environments.interpreters" in sentence
