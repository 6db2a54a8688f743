"""Plugins that call without end, and answers that are meant to hurt whoever reads them."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.models.execution import Execution, ExecutionRequest, ExecutionState
from moorage.models.incarnation import VerdictKind

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

SECONDS = 5.0 if os.environ.get("MOORAGE_THOROUGH") == "1" else 1.5
TIMEOUT_SECONDS = 60

SLOWEST_SECONDS = 1.0
#: A message may have 16 MiB; read, one of four million empty values takes twelve times as much, for a moment.
GROWTH_MIB = 400

PLUGIN = '''
    import asyncio, threading, time
    from moorage_sdk import Plugin, channel, scope
    from moorage_proto import link_pb2, log_pb2, plugin_pb2, value_pb2
    from moorage_proto.link import frames
    from moorage_proto.methods import service_methods

    plugin = Plugin()
    WRITE = service_methods(log_pb2, "LogService")["write"].path

    def thread():
        return channel.current()._thread

    def in_link(work):
        done = threading.Event()
        thread().post(lambda: (work(), done.set()))
        done.wait()

    def next_ids(count):
        table = thread().link._table
        first = table._next_id
        table._next_id += 2 * count
        return range(first, first + 2 * count, 2)

    def flood(method, request=b""):
        within, until = scope.current().id, time.monotonic() + {seconds}

        def some():
            lane = thread().link._lanes[0]
            if lane.queued_bytes < 1 << 20:
                for call_id in next_ids(2000):
                    lane.send(frames.call(call_id, method, request, within, 0, ""))

        while time.monotonic() < until:
            in_link(some)
        return "went on"

    def answer(data):
        """To the call that runs this task: what the host reads is not what the SDK would write."""
        table = thread().link._table
        call = next(call for call in table.incoming.values() if call.method.endswith("/Run"))
        in_link(lambda: call.reply(data))
        time.sleep(0.5)

    def run_reply(value):
        return tagged(plugin_pb2.RunReply.DESCRIPTOR, "result", value)

    def tagged(descriptor, name, data):
        return varint(descriptor.fields_by_name[name].number << 3 | 2) + varint(len(data)) + data

    def varint(number):
        out = bytearray()
        while number > 127:
            out.append(number % 128 + 128)
            number //= 128
        return bytes(out + bytes((number,)))

    def many(count):
        null = value_pb2.Value(null=value_pb2.NULL).SerializeToString()
        one = tagged(value_pb2.List.DESCRIPTOR, "values", null)
        return tagged(value_pb2.Value.DESCRIPTOR, "list", one * count)

    def deep(levels):
        value = many(1)
        for _ in range(levels):
            value = tagged(value_pb2.Value.DESCRIPTOR, "list", tagged(value_pb2.List.DESCRIPTOR, "values", value))
        return value

    def endless(kind):
        call = next(call for call in thread().link._table.incoming.values() if call.method.endswith("/Run"))
        lane = thread().link._lanes[0]
        first = link_pb2.Frame(call_id=call.id, more=True, **{{kind: bytes(60_000)}})
        more = link_pb2.Frame(call_id=call.id, more=True, chunk=bytes(60_000))
        in_link(lambda: lane.send(frames.single(first)))
        while True:
            in_link(lambda: lane.queued_bytes < 1 << 20 and lane.send(frames.single(more)))

    ATTACKS = {{
        "log records": lambda: flood(WRITE),
        "unknown methods": lambda: flood("/moorage.v1.Nothing/Here"),
        "no requests": lambda: flood(WRITE, bytes((255,)) * 50),
        "a million values": lambda: answer(run_reply(many(3_900_000))),
        "a few values": lambda: answer(run_reply(many(3))),
        "values in values": lambda: answer(run_reply(deep(2000))),
        "values a little too deep": lambda: answer(run_reply(deep(31))),
        "no answer at all": lambda: answer(bytes((255,)) * 1000),
        "an endless answer": lambda: endless("reply"),
        "an endless stream": lambda: endless("item"),
    }}

    @plugin.task
    def attack(input: str) -> str:
        return ATTACKS[input]() or "well"

    @plugin.task
    def execute() -> str:
        return "well"
'''


def memory_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Watch:
    latencies: list[float] = field(default_factory=list)
    peak_mib: float = 0.0

    @property
    def slow_seconds(self) -> float:
        """Of twenty calls one may be slower: each waits for the store's disk, which has other users."""
        return sorted(self.latencies)[-1 - len(self.latencies) // 20]

    async def run(self, host: Host) -> None:
        while True:
            started = time.perf_counter()
            assert await host.call("bystander") == "well"
            self.latencies.append(time.perf_counter() - started)
            self.peak_mib = max(self.peak_mib, memory_mib())
            await asyncio.sleep(0.005)

    def __str__(self) -> str:
        median, worst = statistics.median(self.latencies) * 1000, max(self.latencies) * 1000
        return f"neighbour {median:.1f} ms median, {worst:.0f} ms at most, of {len(self.latencies)}"


@pytest.fixture
async def hosts(host: Host, tmp_path: Path) -> Host:
    for name in ("probe", "bystander"):
        extra = '[tool.moorage.limits]\nmemory = "512 MiB"'
        await host.install(write_plugin(tmp_path, PLUGIN.format(seconds=SECONDS), name=name, extra=extra))
        await host.start(name)
    return host


async def attacked(host: Host, attack: str) -> Execution:
    before, watch = memory_mib(), Watch()
    watching = asyncio.create_task(watch.run(host))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        execution = await host.run(ExecutionRequest("probe", "attack", attack))
        seen = len(watch.latencies)
        while len(watch.latencies) < seen + 20 and not watching.done():
            await asyncio.sleep(0.01)
    assert not watching.done(), watching.exception()
    watching.cancel()
    print(f"{attack}: {watch}; the host went from {before:.0f} to {watch.peak_mib:.0f} MiB")
    assert watch.slow_seconds < SLOWEST_SECONDS
    assert watch.peak_mib - before < GROWTH_MIB
    return execution


@pytest.mark.parametrize("attack", ["log records", "unknown methods", "no requests"])
async def test_a_flood_of_calls_is_borne(hosts: Host, attack: str) -> None:
    execution = await attacked(hosts, attack)

    assert (execution.state, execution.result) == (ExecutionState.SUCCEEDED, "went on")
    (incarnation,) = (await hosts.installation("probe")).incarnations
    assert incarnation.verdict is None


BOMBS = {
    "a million values": (ExecutionState.FAILED, "more than 250,000 values came at once; return, or pass, fewer"),
    "values in values": (ExecutionState.CRASHED, "is not a RunReply"),
    "values a little too deep": (ExecutionState.FAILED, "nested deeper than 30 levels"),
    "no answer at all": (ExecutionState.CRASHED, "is not a RunReply"),
}


@pytest.mark.parametrize("attack", BOMBS)
async def test_an_answer_that_is_a_bomb_fails_its_execution_alone(hosts: Host, attack: str) -> None:
    execution = await attacked(hosts, attack)

    state, words = BOMBS[attack]
    assert execution.error is not None
    assert (execution.state, words in execution.error.message) == (state, True)
    assert await hosts.call("probe") == "well"


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("an endless answer", "messages that are not complete have"),
        ("an endless stream", "has a single reply, and a stream item came"),
    ],
)
async def test_an_answer_without_end_ends_its_link(hosts: Host, attack: str, words: str) -> None:
    execution = await attacked(hosts, attack)

    verdicts = [one.verdict for one in (await hosts.installation("probe")).incarnations if one.verdict is not None]
    assert execution.state is ExecutionState.CRASHED
    assert verdicts[-1].kind is VerdictKind.PROTOCOL_VIOLATION
    assert words in verdicts[-1].sentence
    assert await hosts.call("probe") == "well"


async def test_an_ordinary_answer_made_by_hand_arrives(hosts: Host) -> None:
    """The control of the bombs: it is not the way they come that is refused."""
    execution = await attacked(hosts, "a few values")

    assert execution.state is ExecutionState.SUCCEEDED
    assert execution.result == [None, None, None]
