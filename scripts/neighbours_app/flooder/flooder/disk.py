"""Floods of files."""

import contextlib
import itertools
from collections import Counter
from pathlib import Path
from typing import Dict, List

from flooder.base import Until, attempt, in_threads, plugin

MIB = 1024 * 1024


@plugin.task
def many_files(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    return _files(input, [Path("/data")], b"f" * 100, enough=15_000)


@plugin.task
def big_files(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    until = Until(input)
    block = b"b" * MIB
    counts: Counter = Counter()
    numbers = itertools.count()
    while until.on:
        # A file has a bound of its own, so there are several.
        with Path(f"/data/big-{next(numbers)}").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while until.on:
                file.write(block)
                counts["MiB"] += 1
    return dict(counts)


@plugin.task
def temporary_files(input: float) -> Dict[str, int]:  # noqa: A002 - the SDK's word
    """In memory, both of them."""
    return _files(input, [Path("/tmp"), Path("/dev/shm")], b"t" * MIB)


def _files(seconds: float, folders: List[Path], data: bytes, enough: int = 0) -> Dict[str, int]:
    """For so long, or until there are enough."""
    until = Until(seconds)
    numbers = itertools.count()

    def work(counts: Counter) -> None:
        while until.on or (enough and counts["files"] < enough / 4):
            for folder in folders:
                file = folder / f"file-{next(numbers)}"
                attempt(counts, lambda file=file: file.write_bytes(data), "files")

    return in_threads(4, work)
