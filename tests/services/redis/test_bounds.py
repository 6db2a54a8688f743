"""Small requests that would become much: time of the host's event loop, memory of the host, or of the server."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from fakeredis._helpers import compile_pattern
from redis_worlds import EVERYTHING, Hosted, client, hosted_real
from servers.redis import RedisServer
from service_worlds import closing

from moorage.broker.services.redis import RedisService, embedded, lines, patterns, wire
from moorage.broker.services.redis.embedded import MAX_CURSORS, EmbeddedConnections
from moorage.broker.services.redis.line import Line
from moorage.broker.services.redis.service import TURN
from moorage.config.services.redis import RedisBackend
from moorage_proto import redis_pb2
from moorage_proto.errors import CallError, Reason
from moorage_proto.redis_access import examine
from moorage_proto.redis_table import CommandSpec, KeySpec, KeysUnclear, committed_table
from moorage_sdk.errors import MoorageError
from moorage_sdk.scope import Scope, entered
from moorage_sdk.services.redis.wire import EXECUTE

ENDLESS = redis_pb2.ExecuteCommandsRequest(
    commands=[redis_pb2.RedisCommand(arguments=[b"EVAL", b"while true do end", b"0"])]
)

KIB, MIB = 1024, 1024 * 1024


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.system)])
def hosted(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    is_real = request.param == "real"
    made = hosted_real(request.getfixturevalue("server")) if is_real else Hosted(main=RedisBackend())
    with closing(made):
        yield made


def test_a_word_that_stands_in_a_command_a_thousand_times() -> None:
    """From each of them all that follows would be keys: 130 millions."""
    with pytest.raises(KeysUnclear, match="more than 16 times"):
        examine(committed_table(), [b"XREAD", *[b"STREAMS"] * 16_000], "main")
    asked = examine(committed_table(), [b"XREAD", b"STREAMS", *[b"streams"] * 7, b"0"], "main").needs
    assert [need.resource for need in asked] == ["main/streams"]


@pytest.mark.parametrize(
    "line",
    [
        "SRANDMEMBER s -1000000000",
        "HRANDFIELD h -1000000000 WITHVALUES",
        "ZRANDMEMBER z -99999999999999999999",
        "LCS a b",
        "SCAN 0 MATCH * COUNT 1000000000",
    ],
)
def test_what_would_hold_up_the_server_is_refused(hosted: Hosted, line: str) -> None:
    r = client(hosted.worker(*EVERYTHING))
    r.sadd("s", "a")
    with pytest.raises(redis.exceptions.NoPermissionError):
        r.execute_command(*line.split())
    assert len(r.srandmember("s", -1000)) == 1000
    assert r.scan(0, count=1000)[1] == [b"s"]


def test_answers_of_a_pipeline_are_counted_together(hosted: Hosted) -> None:
    r = client(hosted.worker(*EVERYTHING))
    r.set("a", bytes(5 * MIB))
    pipeline = r.pipeline(transaction=False)
    for _ in range(200):
        pipeline.get("a")
    with pytest.raises(redis.ResponseError, match="may have 14 MiB together"):
        pipeline.execute()
    assert r.mget("a", "b") == [bytes(5 * MIB), None]


def test_small_items_count_for_what_they_take(hosted: Hosted) -> None:
    r = client(hosted.worker(*EVERYTHING))
    for _ in range(25):
        r.rpush("l", *[1] * 10_000)
    with pytest.raises(redis.ResponseError, match="may have 14 MiB together"):
        r.lrange("l", 0, -1)
    assert len(r.lrange("l", 0, 9_999)) == 10_000


def test_patterns_with_many_stars(hosted: Hosted) -> None:
    r = client(hosted.worker(*EVERYTHING))
    r.set("a" * 4000, 1)
    assert r.scan(0, match="*a" * 12 + "*b")[1] == []
    assert r.scan(0, match="*a" * 12 + "*")[1] == [b"a" * 4000]
    pubsub = r.pubsub()
    pubsub.psubscribe("*a" * 12 + "*b")
    assert pubsub.get_message(timeout=10)["type"] == "psubscribe"
    assert r.publish("a" * 4000, "x") == 0
    pubsub.close()


PATTERNS = [
    "*",
    "a*",
    "*a",
    "a*c",
    "a*b*c",
    "*a*b*",
    "?*",
    "*?",
    "a?c",
    "[ab]*",
    "*[^a]",
    "*[.]*",
    "**b",
    "\\**",
    "a",
    "",
]
NAMES = ["", "a", "b", "abc", "aXbYc", "ac", "a.c", "*", "*a", "ab", "ba", "a\nc", "aabbcc", ".", "x.y"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_quick_patterns_match_what_slow_ones_do(pattern: str) -> None:
    slow = compile_pattern(pattern.encode())
    original = slow if isinstance(slow, re.Pattern) else re.compile(slow)
    quick = patterns.quick(original)
    for name in NAMES:
        assert bool(quick.match(name.encode())) == bool(original.match(name.encode())), name


async def test_what_nobody_reads_is_not_kept() -> None:
    """In the embedded server, whose memory is the host's; a real one has its own bound for that."""
    connections = EmbeddedConnections()
    reading, writing = (Line("main", connections.new()) for _ in range(2))
    await reading.open()
    await writing.open()
    await reading.send([(b"SUBSCRIBE", b"a")])
    assert await reading.receive() == [b"subscribe", b"a", 1]
    for _ in range(13):
        await writing.run([(b"PUBLISH", b"a", bytes(MIB))], "", 10)
    assert await reading.receive() == [b"message", b"a", bytes(MIB)]
    for _ in range(30):
        await writing.run([(b"PUBLISH", b"a", bytes(MIB))], "", 10)
    assert connections.server.sockets[0].responses.size_bytes < MIB
    with pytest.raises(CallError, match="broke off"):
        await reading.receive()
    assert await writing.run([(b"PUBLISH", b"a", b"x")], "", 10) == [0]
    await writing.close()


def test_transactions_queue_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the embedded server; what only reads takes its memory as well."""
    monkeypatch.setattr(embedded, "MAX_QUEUED_BYTES", 3 * MIB)
    with closing(Hosted(main=RedisBackend())) as world:
        r = client(world.worker(*EVERYTHING))
        with r.pipeline() as pipeline:
            for _ in range(4):
                pipeline.echo(bytes(MIB))
            with pytest.raises(redis.RedisError, match="is full"):
                pipeline.execute()
        with r.pipeline() as pipeline:
            for _ in range(2):
                pipeline.echo(bytes(MIB))
            assert pipeline.execute() == [bytes(MIB)] * 2
        assert r.echo(bytes(4 * MIB)) == bytes(4 * MIB)


def test_scans_that_nobody_ends_are_forgotten() -> None:
    with closing(Hosted(main=RedisBackend())) as world:
        r = client(world.worker(*EVERYTHING))
        keys = {f"k{number}": 1 for number in range(500)}
        r.mset(keys)
        for count in range(1, 100):
            r.scan(0, count=count)
        assert len(world.service._servers["main"]._connections.server.scan_cursors) == MAX_CURSORS
        assert {key.decode() for key in r.scan_iter(count=50)} == set(keys)


def test_held_connections_name_so_many_keys(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_REMEMBERED_BYTES", 512 * KIB)
    worker = hosted.worker(*EVERYTHING)
    r = client(worker)
    with r.pipeline() as pipeline:
        pipeline.watch(*[f"k{number}" for number in range(1000)])
        with pytest.raises(redis.RedisError, match="60,000 keys and channels"):
            pipeline.watch(*[f"l{number}" for number in range(1000)])
    # All of it is free again.
    with r.pipeline() as pipeline:
        pipeline.watch(*[f"k{number}" for number in range(1000)])
        pipeline.multi()
        pipeline.set("a", 1)
        assert pipeline.execute() == [True]


def test_others_have_their_turn_while_thousands_of_keys_are_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    async def sleep(seconds: float) -> None:
        nonlocal turns
        turns += 1

    with closing(Hosted(main=RedisBackend())) as world:
        r = client(world.worker(*EVERYTHING))
        monkeypatch.setattr("moorage.broker.services.redis.service.asyncio.sleep", sleep)
        assert r.mget([f"k{number}" for number in range(10_000)]) == [None] * 10_000
    assert turns >= 10_000 // TURN


def test_commands_of_modules() -> None:
    """A search answers what no argument names, so its name alone says nothing."""
    key = (KeySpec(frozenset({"RO", "access"}), ("index", 1), ("range", 0, 1, 0)),)
    table = {
        b"ft.search": CommandSpec("ft.search", frozenset({"readonly", "module"}), frozenset(), key),
        b"json.get": CommandSpec("json.get", frozenset({"readonly", "module"}), frozenset(), key),
    }
    with pytest.raises(Exception, match="reach keys that they do not name"):
        examine(table, [b"FT.SEARCH", b"index", b"*"], "main")
    assert [need.resource for need in examine(table, [b"JSON.GET", b"a"], "main").needs] == ["main/a"]


@contextlib.asynccontextmanager
async def saying(*answers: bytes) -> AsyncIterator[int]:
    """A server that answers each thing that it is sent with the next of these; the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.CancelledError):
            for answer in answers:
                if not await reader.read(65536):
                    break
                writer.write(answer)
            await reader.read()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


NONSENSE = [
    b"$abc\r\n",
    b"*x\r\n",
    b"?\r\n",
    b"\r\n",
    b"+" + b"x" * 200_000,
    b":1_0x\r\n",
    b"*1\r\n" * 5000,
    b"\0\xff" * 9,
]


@pytest.mark.parametrize(
    "answer", [*NONSENSE, b"+OK\r\n+OK\r\n", b"*1\r\n*1\r\n+get\r\n*0\r\n", b"*2\r\n:1\r\n:2\r\n*0\r\n"]
)
async def test_a_server_that_is_none_is_unavailable(answer: bytes) -> None:
    async with saying(answer, answer) as port:
        made = RedisService.from_settings(
            {"main": RedisBackend(url=f"redis://127.0.0.1:{port}/0", timeout=0.5)},
            lambda _: None,  # type: ignore[arg-type, return-value]
        )
        try:
            with pytest.raises(CallError) as failed:
                await made._servers["main"].table()
            assert failed.value.reason == Reason.BACKEND_UNAVAILABLE
            assert str(port) not in failed.value.message
        finally:
            await made.close()


async def test_a_silent_server_is_waited_for_once() -> None:
    """By all who come meanwhile together, and not by one after another."""
    async with saying() as port:
        made = RedisService.from_settings(
            {"main": RedisBackend(url=f"redis://127.0.0.1:{port}/0", timeout=0.3)},
            lambda _: None,  # type: ignore[arg-type, return-value]
        )
        try:
            async with asyncio.timeout(2):
                failed = await asyncio.gather(
                    *(made._servers["main"].table() for _ in range(30)), return_exceptions=True
                )
            assert {type(each) for each in failed} == {CallError}
        finally:
            await made.close()


def test_arrays_in_arrays_have_an_end() -> None:
    reply: object = b"x"
    for _ in range(wire.MAX_DEPTH - 1):
        reply = [reply]
    assert wire.reply_bytes(reply) == wire.MAX_DEPTH * wire.ITEM_BYTES + 1
    with pytest.raises(wire.ReplyTooLarge):
        wire.reply_bytes([reply])


@pytest.mark.system
def test_a_call_that_outlives_its_installation_gets_no_login_of_the_operators(server: RedisServer) -> None:
    with closing(hosted_real(server)) as world:
        r = client(world.worker(*EVERYTHING))
        assert r.ping() is True
        redis_server = world.service._servers["main"]
        tenant = redis_server._tenants["churn"]
        world.do(redis_server.forget("churn"))
        with pytest.raises(CallError, match="any more"):
            world.do(tenant.lines.hold())


@pytest.mark.system
@pytest.mark.parametrize("seconds", [0.3, 30.0])
def test_a_script_without_end_is_ended(server: RedisServer, seconds: float) -> None:
    """When the server was silent for too long, or nobody waits for it any more."""
    with server.client() as owner:
        owner.config_set("busy-reply-threshold", 50)
    with closing(hosted_real(server, timeout=seconds)) as world:
        worker = world.worker(*EVERYTHING)
        other = client(world.worker(*EVERYTHING, installation="other"))
        assert other.set("a", 1) is True
        with entered(Scope("e-1", "e-1")), ThreadPoolExecutor() as threads:
            calls = [
                threads.submit(contextvars.copy_context().run, worker.channel.call, EXECUTE, ENDLESS, timeout=0.5)
                for _ in range(3)
            ]
            # To those that came later it may have said that it is busy.
            assert any(isinstance(call.exception(), MoorageError) for call in calls)
        end = time.monotonic() + 10
        while True:
            try:
                assert other.get("a") == b"1"
                break
            except redis.RedisError:
                assert time.monotonic() < end
                time.sleep(0.02)
        assert client(worker).eval("return 7", 0) == 7
