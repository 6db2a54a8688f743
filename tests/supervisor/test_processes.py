"""What belongs to a worker, without a control group that says so."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from moorage.supervisor.disk import unnamed
from moorage.supervisor.processes import has_lost_its_first_thread, processes_of, stat_of
from moorage.supervisor.records import started
from moorage_sandbox import syscalls
from moorage_sandbox.numbers import NUMBERS

pytestmark = pytest.mark.system

#: A process with a child that is nobody's, in a session of its own.
WITH_A_DAEMON = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork(): os._exit(0)\n"
    "    time.sleep(60)\n"
    "os.wait()\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)"
)


def test_a_daemon_belongs_to_its_pid_namespace() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root looks into the namespaces of others")
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-S", "-c", WITH_A_DAEMON]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            # ``process`` makes the namespace and stays outside, in the test's own: there parents and children count.
            _, first, daemon = processes_of(process.pid, None)
            assert set(processes_of(daemon, None)) == {first, daemon}
        finally:
            process.kill()


#: Its first thread ends, another one goes on.
HEADLESS = (
    "import ctypes, threading\n"
    "def stay():\n"
    "    print('ready', flush=True)\n"
    "    input()\n"
    "threading.Thread(target=stay).start()\n"
    "ctypes.CDLL(None).syscall({exit}, 0)"
)


def test_a_process_lives_on_without_its_first_thread() -> None:
    code = HEADLESS.format(exit=NUMBERS[syscalls.MACHINE]["exit"])
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 10
        while not has_lost_its_first_thread(stat_of(process.pid) or ["R"]):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert started(process.pid) is not None
        assert "first thread" in unnamed([process.pid], 0).closed_to_us
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        # Only its zombie is left.
        assert started(process.pid) is None
        assert unnamed([process.pid], 0).closed_to_us == ""


def test_in_the_hosts_own_namespace_children_count_and_nobody_else() -> None:
    found = processes_of(os.getpid(), None)
    assert found[0] == os.getpid()
    assert os.getppid() not in found
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in processes_of(os.getpid(), None)
