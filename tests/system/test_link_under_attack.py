"""Plugins that take the socket beneath their own link into their hands, in a real sandbox: below gRPC, and beside it.

Each attack goes on until the worker is ended, or until the test has seen enough. Meanwhile a neighbour is called, and
the memory of the host, which is this process, is watched.
"""

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
from moorage.models.incarnation import Verdict, VerdictKind

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

THOROUGH = os.environ.get("MOORAGE_THOROUGH") == "1"
ATTACK_SECONDS = 5.0 if THOROUGH else 1.5
TIMEOUT_SECONDS = 30

#: What no attack may reach: of one call of another plugin, and of the host's memory.
SLOWEST_SECONDS = 1.0
GROWTH_MIB = 256

ATTACKER = Path(__file__).parents[1] / "support" / "http2.py"

PLUGIN = '''
    import os, socket, time
    from moorage_sdk import Plugin, channel
    from moorage_proto import link_pb2
    from probe import http2 as h

    plugin = Plugin()

    def own_connections():
        found = []
        for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else range(64):
            try:
                one = socket.socket(fileno=os.dup(int(name)))
                peer = one.getpeername()
            except (OSError, ValueError):
                continue
            if one.family == socket.AF_UNIX and peer and os.path.basename(os.fsdecode(peer)) == "h":
                one.settimeout(10)
                found.append(one)
        return found

    def flood(make):
        until = time.monotonic() + {seconds}
        (first, *_) = own_connections()
        stream = 1001
        while time.monotonic() < until:
            data, stream = make(stream)
            first.sendall(data)

    def resets(stream):
        out = []
        for number in range(stream, stream + 400, 2):
            out += [h.headers(number), h.rst_stream(number)]
        return b"".join(out), stream + 400

    def continuation(stream):
        if stream == 1001:
            return h.headers(stream, flags=0), 1003
        return h.frame(h.CONTINUATION, 0, 1001, h.literal(b"x", b"y" * 100) * 50) * 10, 1003

    def dial():
        until = time.monotonic() + {seconds}
        while time.monotonic() < until:
            socket.socket(socket.AF_UNIX).connect("/run/host/h")

    def send(mebibytes):
        """One message, behind gRPC's back, which is not in the middle of one when nothing is under way."""
        (first, *_) = own_connections()
        first.sendall(h.frame(h.DATA, 0, 1, h.message_head(mebibytes << 20)))
        for _ in range(mebibytes * 64):
            first.sendall(h.frame(h.DATA, 0, 1, bytes(16384)))
        time.sleep(60)

    def send_past_flow_control():
        ping = link_pb2.Batch(frames=[link_pb2.Frame(ping=link_pb2.Ping(nonce=1))] * 1600).SerializeToString()
        (first, *_) = own_connections()
        while True:
            first.sendall(h.frame(h.DATA, 0, 1, h.message(ping)))

    ATTACKS = {{
        "rapid reset": lambda: flood(resets),
        "pings below gRPC": lambda: flood(lambda stream: (h.ping() * 500, stream)),
        "settings": lambda: flood(lambda stream: (h.settings((4, 65535)) * 500, stream)),
        "window updates": lambda: flood(lambda stream: (h.window_update(0, 2**31 - 1) * 500, stream)),
        "headers without end": lambda: flood(continuation),
        "header bomb": lambda: flood(lambda stream: (h.bomb(stream), stream + 2)),
        "empty data": lambda: flood(lambda stream: (h.frame(h.DATA, 0, 1, b"") * 500, stream)),
        "garbage": lambda: flood(lambda stream: (os.urandom(4096), stream)),
        "dialling": dial,
        "shutting its side": lambda: [one.shutdown(socket.SHUT_WR) for one in own_connections()] and time.sleep(60),
        "closing its connections": lambda: [os.close(fd) for fd in range(3, 256) if is_ours(fd)] and time.sleep(60),
        "a message of 1 MiB": lambda: send(1),
        "a message of 64 MiB": lambda: send(64),
        "more than flow control allows": send_past_flow_control,
    }}

    def is_ours(fd):
        try:
            with socket.socket(fileno=os.dup(fd)) as one:
                return one.family == socket.AF_UNIX and os.path.basename(os.fsdecode(one.getpeername())) == "h"
        except OSError:
            return False

    @plugin.task
    def attack(input: str) -> str:
        try:
            ATTACKS[input]()
        except OSError as error:
            return type(error).__name__
        return "went on"

    @plugin.task
    def execute() -> str:
        return "well"
'''


def memory_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError


@dataclass
class Watch:
    """How the neighbour fares, and what the host grows to."""

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
            await asyncio.sleep(0.01)

    def __str__(self) -> str:
        median, worst = statistics.median(self.latencies or [0]) * 1000, max(self.latencies or [0]) * 1000
        return f"neighbour {median:.1f} ms median, {worst:.0f} ms at most, of {len(self.latencies)}"


@pytest.fixture
async def hosts(host: Host, tmp_path: Path) -> Host:
    for name in ("probe", "bystander"):
        code = PLUGIN.format(seconds=ATTACK_SECONDS).replace("from probe import", f"from {name} import")
        project = write_plugin(tmp_path, code, name=name)
        module = project / f"{name}.py"
        package = project / name
        package.mkdir()
        module.rename(package / "__init__.py")
        (package / "http2.py").write_text(ATTACKER.read_text())
        await host.install(project)
        await host.start(name)
    return host


async def attacked(host: Host, attack: str) -> tuple[Execution, Verdict | None]:
    """The end of the attack's execution, and of its worker, if that has ended."""
    before, watch = memory_mib(), Watch()
    watching = asyncio.create_task(watch.run(host))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        execution = await host.run(ExecutionRequest("probe", "attack", attack))
    # However quick the end of the attack was, the neighbour is asked once more after it.
    seen = len(watch.latencies)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(watch.latencies) < seen + 20 and not watching.done():
            await asyncio.sleep(0.01)
    assert not watching.done(), watching.exception()
    watching.cancel()
    print(f"{attack}: {watch}; the host went from {before:.0f} to {watch.peak_mib:.0f} MiB")
    assert watch.slow_seconds < SLOWEST_SECONDS
    assert watch.peak_mib - before < GROWTH_MIB
    verdicts = [one.verdict for one in (await host.installation("probe")).incarnations]
    return execution, next((verdict for verdict in verdicts if verdict is not None), None)


BROKE_OFF = {VerdictKind.LINK_LOST: "The worker's connection to the host broke off: something in it wrote to"}
CUT_OFF = {VerdictKind.PROTOCOL_VIOLATION: "more came on it than gRPC's bounds on messages and flow allow"}
STAYED = {VerdictKind.LINK_LOST: "It ended its link and did not exit: lane"}
#: Which one is a matter of what gRPC ends first, the stream or its connection.
EITHER = BROKE_OFF | CUT_OFF

#: Attacks that end the worker, and the words of the verdict by its kind.
ENDED = {
    "pings below gRPC": EITHER,
    "settings": EITHER,
    "headers without end": EITHER,
    "empty data": EITHER,
    "garbage": EITHER,
    "shutting its side": BROKE_OFF,
    "closing its connections": STAYED,
    "a message of 1 MiB": CUT_OFF,
    "a message of 64 MiB": EITHER,
    "more than flow control allows": EITHER,
}


@pytest.mark.parametrize("attack", ENDED)
async def test_an_attack_below_the_link_ends_the_attacker_alone(hosts: Host, attack: str) -> None:
    execution, verdict = await attacked(hosts, attack)

    assert execution.state is ExecutionState.CRASHED
    assert verdict is not None
    assert ENDED[attack][verdict.kind] in verdict.sentence
    # It may come back, and serves as before.
    assert await hosts.call("probe") == "well"


@pytest.mark.parametrize("attack", ["rapid reset", "window updates", "header bomb"])
async def test_what_http2_allows_costs_the_attacker_and_is_borne(hosts: Host, attack: str) -> None:
    """gRPC goes on; what these take is CPU time, and the worker's own is bounded by its limits."""
    execution, _ = await attacked(hosts, attack)

    assert (execution.state, execution.result) == (ExecutionState.SUCCEEDED, "went on")
    assert await hosts.call("probe") == "well"


async def test_a_plugin_cannot_dial_a_second_time(hosts: Host) -> None:
    """The control is the plugin's own link: it was dialled, through the same path, before the plugin was loaded."""
    execution, verdict = await attacked(hosts, "dialling")

    assert execution.result == "FileNotFoundError"
    assert verdict is None
