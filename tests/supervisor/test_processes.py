"""What belongs to a worker, without a control group that says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from moorage.supervisor.processes import processes_of

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


def test_in_the_hosts_own_namespace_children_count_and_nobody_else() -> None:
    found = processes_of(os.getpid(), None)
    assert found[0] == os.getpid()
    assert os.getppid() not in found
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in processes_of(os.getpid(), None)
