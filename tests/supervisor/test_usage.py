"""What a look at workers makes of two readings; and a look at this very process."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta

import psutil
import pytest

from moorage.models.usage import combined
from moorage.supervisor.usage import LEAST, Reading, Subject, UsageSampler, read, usage_of

BEFORE = Reading(
    at=timedelta(seconds=10),
    cpu_seconds=1.0,
    memory_bytes=50,
    processes=1,
    descriptors=9,
    read_bytes=None,
    written_bytes=None,
    calls=100,
    denied=2,
)
NOW = replace(BEFORE, at=timedelta(seconds=12), cpu_seconds=2.5, memory_bytes=40, calls=130, denied=2)


def test_rates_are_since_the_look_before() -> None:
    usage = usage_of(NOW, BEFORE, peak_memory_bytes=50)
    assert (usage.cpu_percent, usage.calls_per_second, usage.denied_per_second) == (75.0, 15.0, 0.0)
    assert (usage.memory_bytes, usage.peak_memory_bytes) == (40, 50)


def test_a_first_look_has_no_rates() -> None:
    usage = usage_of(NOW, None)
    assert (usage.cpu_percent, usage.calls_per_second, usage.cpu_seconds) == (0.0, 0.0, 2.5)


def test_the_group_saw_peaks_between_looks() -> None:
    assert usage_of(replace(NOW, peak_memory_bytes=99), BEFORE, 50).peak_memory_bytes == 99


def test_several_workers_add_up() -> None:
    one = usage_of(NOW, BEFORE)
    both = combined([one, replace(one, descriptors=None, processes=3)])
    assert (both.cpu_percent, both.processes, both.descriptors, both.read_bytes) == (150.0, 4, 9, None)
    assert combined([]) is None


def myself(**changes: object) -> Subject:
    return replace(Subject("churn", "churn-1", os.getpid(), None, 5, 1), **changes)


def test_a_process_is_read() -> None:
    reading = read(myself(), timedelta())
    assert reading.processes >= 1
    assert reading.cpu_seconds > 0
    assert 1 << 20 < reading.memory_bytes < 8 << 30
    assert reading.descriptors
    assert (reading.calls, reading.denied) == (5, 1)


def test_what_is_gone_is_left_out() -> None:
    with pytest.raises(psutil.NoSuchProcess):
        read(myself(pid=2**22 - 1), timedelta())


class Clock:
    def __init__(self) -> None:
        self.time = timedelta(seconds=100)

    def elapsed(self) -> timedelta:
        return self.time


async def test_who_asks_too_soon_gets_the_last_answer() -> None:
    calls = iter(range(100))

    def subjects() -> list[Subject]:
        return [myself(calls=next(calls) * 10)]

    clock = Clock()
    sampler = UsageSampler(subjects, timedelta(seconds=5), clock)
    assert sampler.of(["churn-1"]) is None
    await sampler.look()
    await sampler.look()
    assert sampler.of(["churn-1"]).calls_per_second == 0
    clock.time += LEAST * 2
    await sampler.look()
    assert sampler.of(["churn-1"]).calls_per_second == 20
    assert sampler.of(["churn-2"]) is None


async def test_a_worker_that_ended_is_forgotten() -> None:
    present = [myself()]
    clock = Clock()
    sampler = UsageSampler(lambda: present, timedelta(seconds=5), clock)
    await sampler.look()
    assert sampler.of(["churn-1"]) is not None
    present.clear()
    clock.time += LEAST
    await sampler.look()
    assert sampler.of(["churn-1"]) is None
