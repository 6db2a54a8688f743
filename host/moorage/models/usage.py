"""What workers use of the machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Of one worker's whole tree of processes, or of all workers of an installation. Rates are since the last look."""

    #: 100 is one core.
    cpu_percent: float
    cpu_seconds: float
    #: Proportional (a page that n processes share counts 1/n) where the host may read that, else what the control group
    #: is charged with, else resident.
    memory_bytes: int
    processes: int
    #: None: the host's user may not read it.
    descriptors: int | None
    read_bytes: int | None
    written_bytes: int | None
    #: The most that was seen.
    peak_memory_bytes: int = 0
    #: Through the gate.
    calls_per_second: float = 0.0
    denied_per_second: float = 0.0


def combined(usages: Iterable[Usage]) -> Usage | None:
    """Of several workers together; None of none."""
    found = tuple(usages)
    if not found:
        return None
    return Usage(
        cpu_percent=sum(each.cpu_percent for each in found),
        cpu_seconds=sum(each.cpu_seconds for each in found),
        memory_bytes=sum(each.memory_bytes for each in found),
        processes=sum(each.processes for each in found),
        descriptors=_sum(each.descriptors for each in found),
        read_bytes=_sum(each.read_bytes for each in found),
        written_bytes=_sum(each.written_bytes for each in found),
        peak_memory_bytes=sum(each.peak_memory_bytes for each in found),
        calls_per_second=sum(each.calls_per_second for each in found),
        denied_per_second=sum(each.denied_per_second for each in found),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
