"""gRPC's own settings: both ends have the same, and the installed gRPC knows them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import moorage
from moorage_sandbox.plan import GRPC_ENV

# The first channel makes gRPC read its settings; an unknown one is a line on standard error.
_FIRST_USE = "import grpc; grpc.insecure_channel('unix:/nonexistent').close()"


def first_use(settings: dict[str, str]) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_USE],
        env={**env, **settings},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stderr


@pytest.mark.system
def test_grpc_knows_the_settings() -> None:
    assert first_use(GRPC_ENV) == ""


@pytest.mark.system
def test_a_setting_that_grpc_does_not_know_is_a_line_on_standard_error() -> None:
    assert "Unknown experiment" in first_use({"GRPC_EXPERIMENTS": "-no_such_experiment"})


@pytest.mark.parametrize("name", GRPC_ENV)
def test_the_host_has_what_its_workers_have(name: str) -> None:
    code = f"import os, {moorage.__name__}; print(os.environ[{name!r}])"
    env = {key: value for key, value in os.environ.items() if key != name}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == GRPC_ENV[name]
