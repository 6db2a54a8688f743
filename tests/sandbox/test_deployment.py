"""The files of docs/deployment against this kernel: what they leave to a host is enough for the level full."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moorage_sandbox import lists
from moorage_sandbox.numbers import NUMBERS

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can take capabilities away from a root"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed"),
]

FILES = Path(__file__).parents[2] / "docs" / "deployment"
CAPABILITIES = ["SYS_ADMIN", "SYS_PTRACE", "SETUID", "SETGID", "SETPCAP", "CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL"]
#: Without the others the probe still reaches full; they are for folders and processes of other users.
NEEDED = CAPABILITIES[:5]

PROBE = """
import asyncio, json, sys
from moorage.supervisor.probe import probe_sandbox
from moorage_sandbox import bpf, syscalls
allowed = json.loads(sys.argv[1])
if allowed:
    refused = bpf.answer(bpf.errno_answer(38))
    program = [*bpf.load(bpf.NUMBER), *bpf.when_number_in(allowed, bpf.ALLOW), *refused]
    syscalls.load_filter(bpf.encode(program))
print(asyncio.run(probe_sandbox()).level)
"""


def profile_names() -> set[str]:
    profile = json.loads((FILES / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    return {name for rule in profile["syscalls"] for name in rule["names"]}


def level(*, capabilities=None, calls=()) -> str:
    """The level of a host with these capabilities, to whom the kernel answers ENOSYS to all but these calls."""
    numbers = [NUMBERS[os.uname().machine][name] for name in calls if name in NUMBERS[os.uname().machine]]
    command = [sys.executable, "-c", PROBE, json.dumps(numbers)]
    if capabilities is not None:
        bounding = ",".join(["-all", *(f"+{name.lower()}" for name in capabilities)])
        command = ["setpriv", f"--bounding-set={bounding}", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_profile_and_the_capabilities_are_enough() -> None:
    assert level(capabilities=CAPABILITIES, calls=profile_names()) == "full"


@pytest.mark.parametrize("capability", ["SYS_ADMIN", "SYS_PTRACE"])
def test_none_of_the_needed_capabilities_can_go(capability) -> None:
    assert level(capabilities=[name for name in CAPABILITIES if name != capability]) != "full"


@pytest.mark.parametrize("call", ["unshare", "mount", "pivot_root", "setns"])
def test_none_of_the_calls_can_go(call) -> None:
    assert level(calls=profile_names() - {call}) != "full"


def test_the_files_name_the_same_capabilities() -> None:
    compose = re.findall(r"- ([A-Z_]+)\b", (FILES / "compose.yaml").read_text())
    (kubernetes,) = re.findall(r"add: \[(.*)\]", (FILES / "kubernetes.yaml").read_text())
    assert compose == kubernetes.split(", ") == CAPABILITIES
    page = (FILES.parent / "deployment.md").read_text()
    assert all(f"`{name}`" in page for name in NEEDED)


def test_the_profile_allows_what_a_worker_may_and_nothing_that_kills_beyond_making_sandboxes() -> None:
    names = profile_names()
    assert {*lists.ALLOW, *lists.BY_ARGUMENTS, *lists.REFUSE} <= names
    assert names & set(lists.KILL) == {"mount", "umount2", "pivot_root", "setns", "sethostname"}
