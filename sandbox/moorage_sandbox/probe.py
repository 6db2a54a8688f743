"""What a throw-away worker runs when the host asks how strong a sandbox this machine can have."""

from __future__ import annotations

from typing import Dict, Tuple

from moorage_sandbox import landlock, syscalls
from moorage_sandbox.judgement import landlock_words
from moorage_sandbox.report import MissingLayer, SandboxReport

#: Imported by the probe's zygote, and run by its worker.
MODULE = "moorage_sandbox.probe"
ENTRY = f"{MODULE}:main"

_SECCOMP_GET_ACTION_AVAIL = 2
_KILL_PROCESS = (0x8000_0000).to_bytes(4, "little")


def main() -> None:
    """Nothing: that it is reached is the answer."""


def refused_report(missing: Tuple[MissingLayer, ...]) -> SandboxReport:
    """The report when no worker could be made: nothing is in force. It tells what the kernel has all the same."""
    offered: Dict[str, str] = {entry.layer: "missing" for entry in missing}
    offered.setdefault("seccomp", "offered by the kernel" if _seccomp() else "missing")
    offered.setdefault("landlock", landlock_words(landlock.abi()) or "missing")
    return SandboxReport("none", offered, missing)


def _seccomp() -> bool:
    try:
        syscalls.syscall("seccomp", _SECCOMP_GET_ACTION_AVAIL, 0, _KILL_PROCESS)
    except OSError:
        return False
    return True
