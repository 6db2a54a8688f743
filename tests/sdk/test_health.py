"""How a worker answers for itself: its health hook, and its stacks when it can answer nothing else."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from mini_host import PLUGIN, mini_host

from moorage_proto import plugin_pb2, signals

pytestmark = pytest.mark.system

SOURCE = """
    import asyncio
    import re
    from moorage_sdk import Plugin

    plugin = Plugin()
    asked = []

    @plugin.health
    async def health() -> str:
        asked.append(1)
        await asyncio.Event().wait()

    @plugin.task
    def often() -> int:
        return len(asked)

    @plugin.task
    async def catastrophe() -> None:
        re.match("(a+)+b", "a" * 64)
"""


@pytest.fixture
def start(tmp_path):
    return lambda: mini_host(tmp_path, sys.executable, SOURCE)


async def test_a_health_hook_that_does_not_return_is_told_in_time_and_runs_once(start):
    async with start() as host:
        await host.load()
        for _ in range(3):
            reply = await host.link.call(PLUGIN["health"], plugin_pb2.HealthRequest(), scope="i-1", timeout=0.5)
            assert (reply.healthy, reply.message) == (False, "its health hook does not return")
        assert await host.run("often") == 1


async def stacks(host) -> bytes:
    """One dump, whose last frames are the bootstrap's."""
    seen = b""
    while b"bootstrap.py" not in seen:
        seen += await asyncio.to_thread(os.read, host.process.stderr.fileno(), 65536)
    return seen


async def test_the_stacks_of_a_worker_that_holds_the_interpreters_lock(start):
    async with start() as host:
        await host.load()
        running = asyncio.ensure_future(host.run("catastrophe"))
        seen = b""
        async with asyncio.timeout(20):
            # Again and again until the code that does not return has begun.
            while b" in catastrophe\n" not in seen:
                host.process.send_signal(signals.DUMP_STACKS)
                seen = await stacks(host)
        assert b'churn_plugin.py", line ' in seen
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
