"""Who speaks on a worker's socket: tokens that are wrong, foreign, used or old, and frames that no SDK would send."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from plugin_projects import write_plugin
from raw_link import Dial, dialled, hello

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.execution import ExecutionRequest, ExecutionState
from moorage.models.incarnation import VerdictKind
from moorage.supervisor.errors import StartFailed
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.sandboxed import SandboxedWorker
from moorage.supervisor.zygote import ZygoteLauncher
from moorage_proto import error_pb2, link_pb2, start_pb2
from moorage_proto.errors import Reason
from moorage_proto.link import LinkLimits, frames, handshake

TIMEOUT_SECONDS = 20
LIMITS = LinkLimits()

#: A plugin that knows the SDK's insides, as hostile ones will.
SPY = """
    import threading
    from moorage_sdk import Context, Plugin, channel, scope
    from moorage_proto import link_pb2, log_pb2
    from moorage_proto.methods import service_methods

    plugin = Plugin()
    WRITE = service_methods(log_pb2, "LogService")["write"].path

    def link_thread():
        return channel.current()._thread

    def send(*sent: link_pb2.Frame) -> None:
        send_bytes(link_pb2.Batch(frames=sent).SerializeToString())

    def send_bytes(data: bytes) -> None:
        thread = link_thread()
        thread.post(thread.link._lanes[0].send, data)

    def call(call_id: int, request: bytes = b"") -> link_pb2.Frame:
        within = scope.current().id
        return link_pb2.Frame(call_id=call_id, call=link_pb2.Call(method=WRITE, scope=within, request=request))

    def unused_id() -> int:
        return link_thread().link._table._next_id

    ATTACKS = {
        "malformed bytes": lambda: send_bytes(bytes([255, 255])),
        "an oversized frame": lambda: send(call(unused_id(), bytes(70_000))),
        "a replayed call": lambda: send(call(unused_id()), call(unused_id())),
        "a call id of the host's": lambda: send(call(2_000_002)),
        "a leap in call ids": lambda: send(call(2**40 + 1)),
        "an answer to nothing": lambda: send(link_pb2.Frame(call_id=2_000_002, reply=b"")),
        "a second hello": lambda: send(link_pb2.Frame(hello=link_pb2.Hello(token=link_thread()._token))),
        "a frame of the host's": lambda: send(link_pb2.Frame(welcome=link_pb2.Welcome())),
        "a frame that says nothing": lambda: send(link_pb2.Frame(call_id=1)),
        "a chunk of nothing": lambda: send(link_pb2.Frame(call_id=2_000_001, chunk=b"x")),
    }

    @plugin.task
    def token() -> str:
        return link_thread()._token.hex()

    @plugin.task
    def attack(input: str) -> None:
        ATTACKS[input]()
        threading.Event().wait()
"""

CALM = """
    from moorage_sdk import Context, Plugin

    plugin = Plugin()

    @plugin.task
    def execute(ctx: Context) -> str:
        ctx.progress(0.5)
        return "well"
"""


@dataclass
class Neighbours:
    """Two plugins that run: "probe", whose socket was dialled, and "bystander", which nothing may disturb."""

    host: Host
    settings: Settings
    #: A connection to the socket of "probe". It was made before the worker's own: afterwards nobody can dial any more.
    dial: Dial
    bystander_pid: int

    async def pid(self, name: str) -> int:
        return (await self.host.installation(name)).incarnations[0].pid

    async def token(self, name: str = "probe") -> bytes:
        return bytes.fromhex(await self.host.call(name, "token"))

    async def check_bystander(self) -> None:
        assert await self.host.call("bystander", "token")
        assert await self.pid("bystander") == self.bystander_pid


async def refusals(host: Host) -> list[AuditEntry]:
    return [entry for entry in await host.audit() if entry.kind is AuditKind.LINK_REFUSED]


def sockets(settings: Settings) -> set[Path]:
    return set(settings.sockets.glob("w*/h"))


class HeldStart:
    """Stands between host and launcher: the start record is here, the worker is not made before it is let go."""

    def __init__(self) -> None:
        self.again()

    def again(self) -> None:
        self.order: asyncio.Future[WorkerOrder] = asyncio.get_running_loop().create_future()
        self.let_go = asyncio.Event()

    async def record(self) -> start_pb2.StartRecord:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return start_pb2.StartRecord.FromString((await self.order).start_record("/run/host"))


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> HeldStart:
    """Holds the next start of "probe", and again the next one after `again`."""
    held, start = HeldStart(), ZygoteLauncher.start

    async def hold(launcher: ZygoteLauncher, order: WorkerOrder, **options: object) -> SandboxedWorker:
        if order.installation == "probe" and not held.order.done():
            held.order.set_result(order)
            await held.let_go.wait()
        return await start(launcher, order, **options)

    monkeypatch.setattr(ZygoteLauncher, "start", hold)
    return held


@asynccontextmanager
async def started(host: Host, settings: Settings, held: HeldStart) -> AsyncIterator[Dial]:
    """Starts "probe", while a stranger's connection to its socket stands."""
    before = sockets(settings)
    held.again()
    starting = asyncio.create_task(host.start("probe"))
    await held.record()
    (socket,) = sockets(settings) - before
    async with dialled(socket) as dial:
        await dial.ready()
        held.let_go.set()
        await starting
        yield dial


@pytest.fixture
async def neighbours(host: Host, settings: Settings, tmp_path: Path, held: HeldStart) -> AsyncIterator[Neighbours]:
    for name in ("probe", "bystander"):
        await host.install(write_plugin(tmp_path, SPY, name=name))
    await host.start("bystander")
    async with started(host, settings, held) as dial:
        pid = (await host.installation("bystander")).incarnations[0].pid
        made = Neighbours(host, settings, dial, pid)
        yield made
        await made.check_bystander()


# -- from outside --------------------------------------------------------------------------------------------------


async def refused(dial: Dial, *sent: bytes) -> error_pb2.Error:
    """What the host tells a stream that sends this, before it ends it."""
    stream = dial.stream()
    for data in sent:
        await stream.send(data)
    frame = await stream.frame()
    assert frame is not None, "the stream ended without a word"
    assert (frame.call_id, frame.WhichOneof("body")) == (0, "error")
    assert await stream.frame() is None
    return frame.error


def oversized_frame() -> bytes:
    return frames.single(link_pb2.Frame(item=bytes(LIMITS.max_frame_bytes + 1)))


STRANGERS = {
    "malformed bytes": (b"\xff\xff", Reason.PROTOCOL_VIOLATION, "is not a Batch"),
    "an oversized frame": (oversized_frame(), Reason.PROTOCOL_VIOLATION, "the bound is 65,536"),
    "an oversized batch": (bytes(LIMITS.max_batch_bytes + 1), Reason.PROTOCOL_VIOLATION, "the bound is 262,144"),
    "a call before hello": (
        frames.single(link_pb2.Frame(call=link_pb2.Call(method="/moorage.v1.SqlService/Connect"))),
        Reason.PROTOCOL_VIOLATION,
        "must begin with Hello or Attach",
    ),
    "a numbered call before hello": (
        frames.call(1, "/moorage.v1.SqlService/Connect", b"", "", 0, ""),
        Reason.PROTOCOL_VIOLATION,
        "call id 0",
    ),
    "a wrong token": (hello(b"w" * 32), Reason.TOKEN_INVALID, "the token is not this worker's"),
    "no token": (hello(b""), Reason.TOKEN_INVALID, "the token is not this worker's"),
    "a wrong ticket": (handshake.attach(b"w" * 32, 1), Reason.TOKEN_INVALID, "the lane ticket"),
}


async def check_refusal(neighbours: Neighbours, error: error_pb2.Error) -> None:
    """It is in the audit under the installation whose socket was dialled, and that one's own link goes on."""
    (entry,) = await refusals(neighbours.host)
    assert (entry.installation, entry.message) == ("probe", error.message)
    incarnation = (await neighbours.host.installation("probe")).incarnations[0]
    assert (entry.actor, incarnation.verdict) == (incarnation.id, None)
    assert await neighbours.host.call("probe", "token")
    assert await neighbours.pid("probe") == incarnation.pid


@pytest.mark.parametrize("case", STRANGERS)
async def test_a_stranger_is_refused_with_the_reason_and_audited(neighbours: Neighbours, case: str) -> None:
    data, reason, sentence = STRANGERS[case]

    error = await refused(neighbours.dial, data)

    assert error.reason == reason
    assert sentence in error.message
    await check_refusal(neighbours, error)


async def test_the_token_of_another_installation_is_refused(neighbours: Neighbours) -> None:
    token = await neighbours.token("bystander")

    error = await refused(neighbours.dial, hello(token))

    assert error.reason == Reason.TOKEN_INVALID
    assert "the token is not this worker's" in error.message
    await check_refusal(neighbours, error)


async def test_a_token_is_good_once(neighbours: Neighbours) -> None:
    token = await neighbours.token()

    error = await refused(neighbours.dial, hello(token))

    assert error.reason == Reason.TOKEN_INVALID
    assert "the token was used before" in error.message
    assert token.hex() not in error.message
    await check_refusal(neighbours, error)


async def test_a_token_is_worth_nothing_after_unload(neighbours: Neighbours, held: HeldStart) -> None:
    host, token = neighbours.host, await neighbours.token()
    # A stream that is refused shows that the connection stands.
    assert (await refused(neighbours.dial, hello(b"w" * 32))).reason == Reason.TOKEN_INVALID

    await host.stop("probe")

    late = neighbours.dial.stream()
    await late.send(hello(token))
    assert await late.ended() is not grpc.StatusCode.OK
    async with started(host, neighbours.settings, held) as dial:
        error = await refused(dial, hello(token))
        assert error.reason == Reason.TOKEN_INVALID
        assert error.message in {entry.message for entry in await refusals(host)}
        assert await host.call("probe", "token") != token.hex()


async def test_every_worker_has_a_socket_and_a_token_of_its_own(neighbours: Neighbours) -> None:
    assert await neighbours.token("probe") != await neighbours.token("bystander")
    folders = neighbours.settings.sockets.glob
    assert len(list(folders("w*"))) == 2
    # Both have opened their lanes, and nobody can dial any more.
    assert sockets(neighbours.settings) == set()
    await neighbours.host.stop("probe")
    assert len(list(folders("w*"))) == 1


# -- with the right token, instead of the worker -------------------------------------------------------------------


@dataclass
class Door:
    """The socket of a worker that is not made yet, and the token that it would bring."""

    socket: Path
    token: bytes


@pytest.fixture
async def door(host: Host, settings: Settings, tmp_path: Path, held: HeldStart) -> AsyncIterator[Door]:
    for name in ("bystander", "probe"):
        await host.install(write_plugin(tmp_path, CALM, name=name))
    await host.start("bystander")
    before = sockets(settings)
    starting = asyncio.create_task(host.start("probe"))
    record = await held.record()
    (socket,) = sockets(settings) - before
    yield Door(socket, record.token)
    await host.stop("probe")
    await asyncio.wait((starting,), timeout=TIMEOUT_SECONDS)
    assert starting.exception() is not None
    assert await host.call("bystander") == "well"


async def test_the_right_token_is_welcomed(door: Door) -> None:
    async with dialled(door.socket) as dial:
        stream = dial.stream()
        await stream.send(hello(door.token))
        frame = await stream.frame()
        assert frame is not None
        assert (frame.welcome.installation, frame.welcome.protocol_version) == ("probe", 1)
        await stream.send(frames.ping(7))
        answer = await stream.frame()
        assert answer is not None
        assert answer.pong.nonce == 7


@pytest.mark.parametrize(
    ("versions", "upgrade"), [((98, 99), "upgrade the host"), ((), "upgrade the plugin's moorage-sdk")]
)
async def test_a_version_that_does_not_fit_says_what_to_upgrade(
    host: Host, door: Door, versions: tuple[int, ...], upgrade: str
) -> None:
    async with dialled(door.socket) as dial:
        error = await refused(dial, hello(door.token, versions=versions))

    assert error.reason == Reason.PROTOCOL_UNSUPPORTED
    assert upgrade in error.message
    assert [entry.message for entry in await refusals(host)] == [error.message]
    # A worker that speaks another one is welcome still.
    async with dialled(door.socket) as dial:
        stream = dial.stream()
        await stream.send(hello(door.token, versions=(*versions, 1)))
        frame = await stream.frame()
        assert frame is not None
        assert frame.welcome.protocol_version == 1


async def test_a_worker_that_brings_another_token_does_not_start(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ZygoteLauncher.start

    async def forge(launcher: ZygoteLauncher, order: WorkerOrder, **options: object) -> SandboxedWorker:
        def forged(socket_folder: str) -> bytes:
            record = start_pb2.StartRecord.FromString(order.start_record(socket_folder))
            record.token = secrets.token_bytes(32)
            return record.SerializeToString()

        return await start(launcher, replace(order, start_record=forged), **options)

    await host.install(write_plugin(tmp_path, CALM, name="probe"))
    with monkeypatch.context() as patch:
        patch.setattr(ZygoteLauncher, "start", forge)
        with pytest.raises(StartFailed) as failure:
            await host.start("probe")

    assert "the token is not this worker's" in "\n".join(failure.value.verdict.lines)
    assert [entry.installation for entry in await refusals(host)] == ["probe"]
    assert await host.call("probe") == "well"


# -- from inside: a plugin that takes its link into its own hands ----------------------------------------------------

ATTACKS = {
    "malformed bytes": "is not a Batch",
    "an oversized frame": "the bound is 65,536",
    "a replayed call": "was used before",
    "a call id of the host's": "the worker's are odd",
    "a leap in call ids": "skips",
    "an answer to nothing": "this end never made it",
    "a second hello": "a second Hello came",
    "a frame of the host's": "kind welcome",
    "a frame that says nothing": "kind unknown",
    "a chunk of nothing": "2000001",
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_worker_that_breaks_the_protocol_ends_its_own_link_only(neighbours: Neighbours, attack: str) -> None:
    host = neighbours.host
    async with asyncio.timeout(TIMEOUT_SECONDS):
        execution = await host.run(ExecutionRequest("probe", "attack", attack))

    assert execution.state is ExecutionState.CRASHED
    ended = (await host.installation("probe")).incarnations[0]
    assert ended.verdict is not None
    assert ended.verdict.kind is VerdictKind.PROTOCOL_VIOLATION
    assert ATTACKS[attack] in ended.verdict.sentence
    assert execution.error is not None
    assert execution.error.message == ended.verdict.sentence
    (entry,) = await refusals(host)
    assert (entry.installation, entry.actor) == ("probe", ended.id)
    assert ATTACKS[attack] in entry.message
    # It may come back; the next incarnation has a token of its own.
    assert await host.call("probe", "token")
