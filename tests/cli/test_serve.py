"""The host as a process: it gets ready, answers, refuses a second one, and stops when told to."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from moorage.errors import ExitCode

pytestmark = pytest.mark.system


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mr-") as name:
        settings = 'state_dir = "state"\nrun_dir = "run"\nsandbox.require = "none"\nkafka = {}\n'
        (Path(name) / "moorage.toml").write_text(settings)
        yield Path(name)


def moorage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "moorage", *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MOORAGE_")}


@pytest.fixture
def host(folder) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "moorage", "serve", "--json"],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        ready = json.loads(process.stdout.readline() or process.stderr.read())
        assert ready == {
            "ready": True,
            "socket": str(folder / "run" / "api.sock"),
            "pid": process.pid,
            "installations": [],
        }
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serves_until_it_is_told_to_stop(folder, host, number):
    socket = folder / "run" / "api.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert "There are no installations yet." in moorage(folder, "ls").stdout
    assert "A host answers" in moorage(folder, "doctor").stdout

    host.send_signal(number)
    assert host.wait(15) == 0
    assert host.stderr.read() == ""
    assert not socket.exists()
    assert moorage(folder, "ls").returncode == ExitCode.UNAVAILABLE


def test_a_second_host_is_refused(folder, host):
    second = moorage(folder, "serve", "--json")
    assert second.returncode == ExitCode.FAILED
    assert f"process {host.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert moorage(folder, "ls").returncode == 0


def test_a_killed_host_leaves_nothing_in_the_way(folder, host):
    host.kill()
    host.wait(10)
    assert (folder / "run" / "api.sock").exists()
    assert moorage(folder, "ls").returncode == ExitCode.UNAVAILABLE
    again = subprocess.Popen(
        [sys.executable, "-m", "moorage", "serve", "--json"],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert json.loads(again.stdout.readline())["ready"] is True
    finally:
        again.terminate()
        again.communicate(timeout=15)
    assert again.returncode == 0


def test_the_screen_says_what_matters(folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "moorage", "serve"],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                process.send_signal(signal.SIGINT)
                break
        said.append(process.communicate(timeout=15)[0])
    finally:
        if process.poll() is None:
            process.kill()
    screen = "".join(said)
    assert process.returncode == 0
    for part in (
        "Moorage ",
        "state",
        "sandbox",
        "api.sock (this user only)",
        "Ready with 0 installations.",
        "Stopped.",
    ):
        assert part in screen


def test_an_unknown_log_level_is_refused(folder):
    refused = moorage(folder, "serve", "--log-level", "loud")
    assert refused.returncode == ExitCode.USAGE
    assert "loud is not one of" in refused.stderr


def test_ctrl_c_ends_following_without_a_word(folder, host):
    following = subprocess.Popen(
        [sys.executable, "-m", "moorage", "logs", "-f", "--json"],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Whoever runs the tests in the background of a shell has it ignore Ctrl+C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread here
    )  # fmt: skip
    try:
        assert _connected(following.pid)
        following.send_signal(signal.SIGINT)
        said = following.communicate(timeout=15)
    finally:
        if following.poll() is None:
            following.kill()
    assert (following.returncode, said) == (130, ("", ""))


def _connected(pid: int, seconds: float = 15) -> bool:
    """Whether the process opens a connection to anything in time: then it has begun to follow."""
    process, until = psutil.Process(pid), time.monotonic() + seconds
    while time.monotonic() < until:
        if process.net_connections("unix"):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("setting", ["state_dir", "run_dir"])
def test_a_folder_that_cannot_be_made_is_a_sentence(folder, setting):
    (folder / "taken").write_text("a file")
    settings = (folder / "moorage.toml").read_text().replace(f'{setting} = "', f'{setting} = "taken/')
    (folder / "moorage.toml").write_text(settings)

    refused = moorage(folder, "serve", "--json")

    assert refused.returncode == ExitCode.CONFIG
    assert "cannot be used: Not a directory" in refused.stderr
    assert f"name another one with {setting}" in refused.stderr


def test_takes_all_the_descriptors_it_may_have(folder):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -S -n 256; exec "$0" -m moorage serve --json', sys.executable],
        cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert json.loads(process.stdout.readline() or process.stderr.read())["ready"]
        assert psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)
    finally:
        process.terminate()
        process.communicate(timeout=10)
