"""Forbidden system calls: named, never made, whatever becomes of the host."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

DEADLINE_SECONDS = 20
PTRACE = "call(101, 0, 0, 0, 0)"
#: A thread makes a forbidden call that any plain process may make, and would tell of it; the main thread goes on.
IN_A_THREAD = (
    "import threading\n"
    "def forbid():\n"
    "    call(101, 0, 0, 0, 0)\n"
    "    open('/data/made', 'w').close()\n"
    "threading.Thread(target=forbid, daemon=True).start()\n"
    "import time\nwhile True: time.sleep(60)"
)


@pytest.fixture(scope="module", params=["zygote", "fresh"])
def start(request) -> str:
    return request.param


def until(condition, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.01)


def test_the_call_is_named_and_the_worker_killed(stage, start) -> None:
    (result,) = stage.run(stage.job(PTRACE, start=start))
    assert (result["outcome"], result["verdict"]) == ("forbidden ptrace", "forbidden_system_call")
    assert "hostile" in result["sentence"]


def test_a_thread_is_named_too_and_its_call_is_not_made(stage, start) -> None:
    (result,) = stage.run(stage.job(IN_A_THREAD, start=start))
    assert result["outcome"] == "forbidden ptrace"
    assert not (stage.base / "data" / "made").exists()


def test_an_interrupted_call_is_noticed(stage) -> None:
    """A signal takes the call back before a busy host could read it; one that is made again is read in the end."""
    code = (
        "import signal, time\nsignal.signal(signal.SIGALRM, lambda *_: None)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
        f"end = time.monotonic() + 20\nwhile time.monotonic() < end:\n    try: {PTRACE}\n    except OSError: pass"
    )
    (result,) = stage.run(stage.job(code))
    assert result["verdict"] == "forbidden_system_call"


def test_under_development_it_fails_and_is_noted_once(stage, start) -> None:
    code = (
        "found = []\n"
        "for attempt in (lambda: call(101, 0, 0, 0, 0), lambda: call(161, b'/tmp'), os.fork, lambda: call(272, 0),\n"
        "                lambda: __import__('socket').socket(), lambda: call(101, 0, 0, 0, 0)):\n"
        "    try: attempt()\n    except OSError as error: found.append(error.errno)\n"
        "value = found"
    )
    (result,) = stage.run(stage.job(code, start=start, development=True))
    assert result.get("value") == [1, 1, 1, 1, 97, 1], result
    named = [note.split("system call ")[1].split(".")[0] for note in result["notes"]]
    assert named == ["ptrace", "chroot", "clone", "unshare", "socket"]


def test_other_numbers_kill_under_development_too(stage) -> None:
    (result,) = stage.run(stage.job("call(0x40000000 | 39)", development=True))
    assert result["outcome"] == "SIGSYS"


def test_without_a_listener_it_kills_unnamed_and_the_report_says_so(stage, start) -> None:
    """As in a container whose engine listens itself: the kernel gives a process one listener."""
    jobs = (stage.job("value = 1", start=start), stage.job(PTRACE, start=start))
    named = stage.run(*jobs)
    unnamed = stage.run(*jobs, listening=True)
    assert [result["outcome"] for result in named] == ["escaped", "forbidden ptrace"]
    assert [result["outcome"] for result in unnamed] == ["escaped", "SIGSYS"]
    assert unnamed[1]["verdict"] == "forbidden_system_call"
    assert "are named" in named[0]["seccomp"]
    assert "unnamed" in unnamed[0]["seccomp"]
    assert {result["level"] for result in (*named, *unnamed)} == {"full"}


@pytest.mark.parametrize("granted", [[], ["sandbox.subprocess"]], ids=["plain", "subprocess"])
def test_a_stopped_host_and_then_a_dead_one_never_let_it_go_on(stage, granted) -> None:
    """It waits for the stopped one; with the dead one's listener gone it fails, and the worker dies with its zygote."""
    go, made = stage.base / "data" / "go", stage.base / "data" / "made"
    for path in (go, made):
        path.unlink(missing_ok=True)
    code = "import time\nwhile not os.path.exists('/data/go'): time.sleep(0.01)\n" + IN_A_THREAD
    host = stage.host(hold=True, jobs=[stage.job(code, granted=granted)])
    assert host.stdout is not None
    (pid,) = json.loads(host.stdout.readline())
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(host.pid, signal.SIGSTOP)
        go.touch()
        until(lambda: "seccomp" in _waits(pid), "the call waits for the host")
        host.kill()
        assert select.select([pidfd], [], [], 5)[0], "the worker outlived its host"
        assert not made.exists()
    finally:
        os.close(pidfd)
        host.communicate()


def _waits(pid: int) -> str:
    """Where in the kernel its threads wait."""
    return " ".join((task / "wchan").read_text() for task in Path(f"/proc/{pid}/task").iterdir())


def test_a_plain_process_makes_that_call(ordinary) -> None:
    assert ordinary.plain(ordinary.job(PTRACE))["outcome"] == "escaped"


def test_a_killed_worker_does_not_wait_for_its_call(stage) -> None:
    """Two threads wait at the same time; the kill ends both, and the first one's name stays."""
    code = "import threading\nfor _ in range(8): threading.Thread(target=lambda: call(101, 0, 0, 0, 0)).start()"
    results: list[dict[str, Any]] = stage.run(*(stage.job(code) for _ in range(3)))
    assert all(result["verdict"] == "forbidden_system_call" for result in results)
    assert all("ptrace" in result["sentence"] for result in results)
