"""Floods of what the machine has: memory, threads, processes, CPU time."""

import hashlib
import mmap
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List

from flooder.base import Until, attempt, in_threads, plugin

MIB = 1024 * 1024


@plugin.task
def nothing(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """For comparison: what this machine itself does to the neighbour meanwhile."""
    time.sleep(input)
    return {}


@plugin.task
def memory(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """As fast as it can, and again when there was no more."""
    return _allocate(input, 16 * MIB, 0.0)


@plugin.task
def slow_memory(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    return _allocate(input, MIB, 0.005)


@plugin.task
def shared_memory(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Which RLIMIT_DATA does not count, and a control group does."""
    until = Until(input)
    counts: Counter = Counter()
    kept: List[Any] = []
    while until.on:
        attempt(counts, lambda: kept.append(_touched(mmap.mmap(-1, 16 * MIB))), "pieces of 16 MiB")
    return dict(counts)


@plugin.task
def threads(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)
    counts: Counter = Counter()
    enough = threading.Event()
    while until.on:
        attempt(counts, threading.Thread(target=enough.wait, daemon=True).start, "threads")
    enough.set()
    return dict(counts)


@plugin.task
def processes(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """Each makes more of its kind, and spins."""
    until = Until(input)
    counts: Counter = Counter()
    bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
    while until.on:
        attempt(counts, lambda: subprocess.Popen([sys.executable, "-I", "-S", "-c", bomb]), "children")
    return dict(counts)


@plugin.task
def spin_python(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)

    def work(counts: Counter) -> None:
        while until.on:
            counts["turns"] += 1

    return in_threads(16, work)


@plugin.task
def spin_power(input: float) -> Dict[str, int]:  # noqa: A002, ARG001 - the SDK's word
    """One operation in C that never gives the interpreter's lock back, in every thread."""
    return in_threads(8, lambda _: pow(7, 10**8) and None)


@plugin.task
def spin_pattern(input: float) -> Dict[str, int]:  # noqa: A002, ARG001 - the SDK's word
    return in_threads(8, lambda _: re.match(r"(a+)+$", "a" * 60 + "b") and None)


@plugin.task
def spin_all_cores(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """In C and without the interpreter's lock: every thread has a core, if there are so many."""
    until = Until(input)
    data = bytes(MIB)

    def work(counts: Counter) -> None:
        while until.on:
            hashlib.sha256(data).digest()
            counts["MiB"] += 1

    return in_threads(12, work)


@plugin.task
def system_calls(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """The kernel's time instead of its own."""
    until = Until(input)

    def work(counts: Counter) -> None:
        with Path("/dev/zero").open("rb", buffering=0) as zero:
            while until.on:
                os.read(zero.fileno(), 16 * MIB)
                counts["reads of 16 MiB"] += 1

    return in_threads(8, work)


def _allocate(seconds: float, size: int, pause_seconds: float) -> Dict[str, int]:
    until = Until(seconds)
    counts: Counter = Counter()
    kept: List[bytearray] = []
    while until.on:
        try:
            kept.append(_touched(bytearray(size)))
        except MemoryError:
            counts["MemoryError"] += 1
            time.sleep(0.01)
        else:
            counts["MiB"] += size // MIB
        time.sleep(pause_seconds)
    return dict(counts)


def _touched(memory: Any) -> Any:
    for page in range(0, len(memory), 4096):
        memory[page] = 1
    return memory
