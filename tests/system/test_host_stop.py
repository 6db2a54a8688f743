"""``moorage serve`` is told to stop while people wait: each of them gets an honest answer, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_projects import write_plugin

from moorage.cli.client import ApiClient, RemoteProblem
from moorage.errors import ExitCode

CODE = """
    from moorage_sdk import Context, Plugin

    plugin = Plugin()

    @plugin.task
    def execute(ctx: Context, input: float) -> float:
        ctx.progress(0.5)
        ctx.wait_cancelled(input)
        return input
"""
RUNS = "/installations/probe/executions"
TIMEOUT_SECONDS = 40

Serve = Callable[[], contextlib.AbstractContextManager[subprocess.Popen[str]]]


@pytest.fixture
def folder(tmp_path: Path, state_dir: Path, run_dir: Path) -> Path:
    write_plugin(tmp_path / "plugins", CODE)
    (tmp_path / "moorage.toml").write_text(
        f'state_dir = "{state_dir}"\nrun_dir = "{run_dir}"\nkafka = {{}}\nplugins.folders = ["plugins"]\n'
    )
    return tmp_path


@pytest.fixture
def serve(folder: Path) -> Serve:
    @contextlib.contextmanager
    def served() -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "moorage", "serve", "--json"], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        try:
            assert json.loads(process.stdout.readline())["ready"]
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)

    return served


@pytest.fixture
def socket(run_dir: Path) -> Path:
    return run_dir / "api.sock"


def ask(socket: Path, path: str, body: Any = None) -> Any:
    with ApiClient(socket) as api:
        return api.get(path) if body is None else api.post(path, body)


def states(state_dir: Path) -> dict[str, str]:
    with contextlib.closing(sqlite3.connect(f"file:{state_dir}/moorage.db?mode=ro", uri=True)) as store:
        return dict(store.execute("SELECT id, state FROM executions ORDER BY id"))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(socket: Path, execution: str) -> bool:
    found = ask(socket, f"/executions/{execution}")
    return bool(found["state"] == "running" and found["progress"] == 0.5)


def test_all_who_wait_are_told_and_the_next_host_goes_on(
    serve: Serve, socket: Path, folder: Path, state_dir: Path
) -> None:
    with serve() as host:
        began = ask(socket, RUNS, {"input": 3.0, "wait": False})["id"]
        until(lambda: running(socket, began))
        answers: dict[str, Any] = {}

        def wait_for_it() -> None:
            try:
                ask(socket, RUNS, {"input": 0.0, "wait": True})
            except RemoteProblem as problem:
                answers["problem"] = problem

        waits = threading.Thread(target=wait_for_it)
        waits.start()
        until(lambda: len(states(state_dir)) == 2)
        command = subprocess.Popen(
            [sys.executable, "-m", "moorage", "run", "probe", "--input", "0.1"],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: len(states(state_dir)) == 3)
        _, second, third = states(state_dir)

        host.send_signal(signal.SIGTERM)
        waits.join(TIMEOUT_SECONDS)
        _, said = command.communicate(timeout=TIMEOUT_SECONDS)

        assert answers["problem"].code == "execution_postponed"
        assert answers["problem"].exit_code is ExitCode.UNAVAILABLE
        assert f"{second} is not done, and the host stops. It is queued" in str(answers["problem"])
        assert command.returncode == ExitCode.UNAVAILABLE
        assert third in said
        # The API answers to the end, and takes nothing new.
        assert ask(socket, f"/executions/{began}")["state"] == "running"
        assert ask(socket, RUNS, {"input": 0.0, "wait": False})["error"]["type"] == "host_stopping"
        assert host.wait(TIMEOUT_SECONDS) == 0
    found = states(state_dir)
    assert (found[began], found[second], found[third]) == ("succeeded", "queued", "queued")
    with serve() as host:
        until(lambda: set(states(state_dir).values()) == {"succeeded", "rejected"})
        ran = [ask(socket, f"/executions/{each}") for each in (second, third)]
        assert [each["attempt"] for each in ran] == [1, 1]
        assert ran[0]["started_at"] < ran[1]["started_at"]
        host.send_signal(signal.SIGINT)
        assert host.wait(TIMEOUT_SECONDS) == 0


def test_a_second_signal_cancels_what_runs(serve: Serve, socket: Path, state_dir: Path) -> None:
    with serve() as host:
        began = ask(socket, RUNS, {"input": 120.0, "wait": False})["id"]
        until(lambda: running(socket, began))
        host.send_signal(signal.SIGTERM)
        until(lambda: ask(socket, RUNS, {"input": 0.0, "wait": False})["state"] == "rejected")
        assert host.poll() is None

        asked = time.monotonic()
        host.send_signal(signal.SIGTERM)
        assert host.wait(TIMEOUT_SECONDS) == 0
        assert time.monotonic() - asked < 15
    assert states(state_dir)[began] == "cancelled"


def test_a_third_signal_ends_it_at_once(serve: Serve, socket: Path, state_dir: Path) -> None:
    with serve() as host:
        began = ask(socket, RUNS, {"input": 120.0, "wait": False})["id"]
        until(lambda: running(socket, began))
        worker = ask(socket, "/installations/probe")["incarnations"][0]["pid"]
        for _ in range(3):
            host.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        host.wait(TIMEOUT_SECONDS)
        until(lambda: not os.path.exists(f"/proc/{worker}"))
    with serve():
        assert states(state_dir)[began] in ("abandoned", "cancelled")
