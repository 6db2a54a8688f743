from __future__ import annotations

from pathlib import Path

import pytest

from moorage.environments.interpreters import Interpreter
from moorage.environments.lock import LockInvalid, pins
from moorage.environments.runtime import runtime_packages

HASH = "--hash=sha256:" + "a" * 64


def _python(version: str) -> Interpreter:
    return Interpreter(Path("/opt/bin/python"), version, Path("/opt"), "cpython")


def test_a_lock_is_names_versions_and_hashes() -> None:
    lock = f"Foo_Bar==1.0 \\\n    {HASH} \\\n    {HASH}\n    # via something\nbaz[extra]==2.0.post1 {HASH}\n\n# end\n"
    assert pins(lock, _python("3.11.7")) == {"foo-bar": "1.0", "baz": "2.0.post1"}


def test_markers_count_for_the_plugins_python_and_not_for_the_hosts() -> None:
    lock = f"a==1 ; python_full_version < '3.10' {HASH}\na==2 ; python_version >= '3.10' {HASH}\n"
    assert pins(lock, _python("3.9.18")) == {"a": "1"}
    assert pins(lock, _python("3.10.1")) == {"a": "2"}


@pytest.mark.parametrize(
    "line",
    [
        "idna==1.0",
        f"idna>=1.0 {HASH}",
        f"idna==1.* {HASH}",
        f"idna==1.0,<2 {HASH}",
        f"idna {HASH}",
        f"idna @ https://example.com/idna.whl {HASH}",
        f"./idna {HASH}",
        "-e .",
        "--index-url https://example.com",
        f"idna==1.0 {HASH} --extra",
        "idna==1.0 --hash=md5:" + "a" * 32,
    ],
)
def test_whatever_else_stands_in_a_lock_is_refused(line: str) -> None:
    with pytest.raises(LockInvalid, match="the lock holds"):
        pins(f"h11==1.0 {HASH}\n{line}\n", _python("3.11.7"))


@pytest.mark.parametrize("version", ["3.9.18", "3.10.13", "3.11.7", "3.13.0"])
def test_the_hosts_own_runtime_is_a_lock_for_every_python(version: str) -> None:
    assert set(runtime_packages(_python(version))) >= {"grpcio", "protobuf"}
