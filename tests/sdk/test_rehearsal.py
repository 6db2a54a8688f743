"""What zygotes play through before they fork."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.system

AFTERWARDS = """
import json, logging, os, sys, threading, time
from moorage_sdk import scope
from moorage_sdk.worker import rehearsal
rehearsal.rehearse()
def tasks():
    # A thread that was joined is gone for the kernel a moment later.
    for _ in range(1000):
        count = len(os.listdir("/proc/self/task"))
        if count == 1:
            break
        time.sleep(0.001)
    return count
print(json.dumps({
    "threads": threading.active_count(),
    "plugin": [name for name in sys.modules if "rehearsed" in name],
    "handlers": len(logging.getLogger().handlers),
    "scope": scope.incarnation().id,
    "tasks": tasks(),
}))
"""


def test_a_rehearsal_leaves_nothing_that_a_fork_or_a_plugin_would_meet() -> None:
    told = subprocess.run([sys.executable, "-c", AFTERWARDS], capture_output=True, check=True, timeout=60)
    left = json.loads(told.stdout)
    # Where gRPC had been used, its threads would be among the kernel's.
    assert left == {"threads": 1, "plugin": [], "handlers": 0, "scope": "", "tasks": 1}
    assert told.stderr == b""


def test_a_rehearsal_that_breaks_off_is_told() -> None:
    broken = """
from moorage_sdk.worker import rehearsal, runtime
async def fail(self, request, answer):
    raise ValueError("planted")
runtime.Runtime._load = fail
rehearsal.rehearse()
"""
    told = subprocess.run([sys.executable, "-c", broken], capture_output=True, check=False, timeout=60)
    assert told.returncode == 1
    assert b"planted" in told.stderr
