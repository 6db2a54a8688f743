"""Servers that die, stall and lie: an error of its kind in time, and the next request works. Bodies of any size in
little memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import tracemalloc
from collections import Counter
from typing import Any

import pytest
from fault_proxy import FaultProxy
from http_wire import REQUEST, Failure, head, read, until
from servers.web import Received, WebServer, body_of, hang, reply

from moorage_proto.errors import CallError, Reason
from moorage_proto.http_pb2 import HttpFailure, HttpReplyItem, HttpRequestItem

pytestmark = pytest.mark.system

MIB = 1024**2


def says(raw: bytes, *, then_close: bool = True):
    """A handler that writes these bytes."""

    async def handler(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if then_close:
            writer.close()
        else:
            await hang(received, writer)

    return handler


BROKEN = [
    (b"", HttpFailure.PROTOCOL),
    (b"HTTP/1.1 200 OK\r\nContent-", HttpFailure.PROTOCOL),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", HttpFailure.PROTOCOL),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", HttpFailure.PROTOCOL),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", HttpFailure.PROTOCOL),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", HttpFailure.PROTOCOL),
    (b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n", HttpFailure.PROTOCOL),
    (b"SSH-2.0-OpenSSH_9.2\r\n", HttpFailure.PROTOCOL),
    (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", HttpFailure.PROTOCOL),
]


@pytest.mark.parametrize(("raw", "kind"), BROKEN, ids=range(len(BROKEN)))
async def test_what_is_no_response_is_an_error_and_the_next_request_works(make_wire, web, raw, kind) -> None:
    web.on("/broken", says(raw))
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        with pytest.raises(Failure) as failed:
            await caller.request("GET", f"http://{web.origin}/broken")
        assert failed.value.kind == kind
        assert (await caller.request("GET", f"http://{web.origin}/"))[0].status == 200


async def test_a_server_that_stalls_is_given_up_in_time(make_wire, web: WebServer) -> None:
    web.on("/never", hang)
    web.on("/half", says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", then_close=False))
    async with make_wire(idle_seconds=0.2) as wire, wire.link(*_all(web)) as caller:
        for path in ("/never", "/half"):
            began = time.monotonic()
            with pytest.raises(Failure, match="sent nothing for too long") as failed:
                await caller.request("GET", f"http://{web.origin}{path}")
            assert failed.value.kind == HttpFailure.READ_TIMEOUT
            assert time.monotonic() - began < 2
        await until(lambda: web.open == 0)


def _all(web: WebServer) -> tuple[str, ...]:
    return tuple(f"http.{method}:http://{web.origin}/**" for method in ("get", "post", "put"))


async def test_the_callers_own_timeouts_count_where_they_are_shorter(make_wire, web: WebServer) -> None:
    web.on("/never", hang)
    async with make_wire() as wire, wire.link(*_all(web)) as caller:
        with pytest.raises(Failure) as failed:
            await caller.request("GET", f"http://{web.origin}/never", read_timeout_ms=50)
        assert failed.value.kind == HttpFailure.READ_TIMEOUT


async def test_a_server_that_takes_nothing_is_given_up_in_time(make_wire, web: WebServer) -> None:
    async def ignore(received: Received, writer: asyncio.StreamWriter) -> None:
        await web.closed.wait()

    web.on("/", ignore, unread=True)
    async with make_wire(idle_seconds=0.3) as wire, wire.link(*_all(web)) as caller:
        call, first = caller.open(head("POST", f"http://{web.origin}/", ("Transfer-Encoding", "chunked")))

        async def pour() -> None:
            await call.send_item(first)
            while True:
                await call.send_item(HttpRequestItem(body=bytes(64 * 1024)))

        pouring = asyncio.create_task(pour())
        with pytest.raises(Failure, match="took nothing") as failed:
            await read(call)
        assert failed.value.kind == HttpFailure.WRITE_TIMEOUT
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        web.closed.set()


async def test_nobody_listens(make_wire) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with make_wire() as wire, wire.link("http.get:http://127.0.0.1:*/**") as caller:
        with pytest.raises(Failure, match="Nobody takes connections") as failed:
            await caller.request("GET", f"http://127.0.0.1:{port}/")
    assert failed.value.kind == HttpFailure.CONNECT


async def test_a_name_without_address_and_one_whose_lookup_hangs(make_wire) -> None:
    async def look_up(host: str) -> list[str]:
        if host == "slow.example.com":
            await asyncio.Event().wait()
        raise OSError("no such name")

    async with make_wire(look_up=look_up, connect_seconds=0.1) as wire, wire.link("http.get:**") as caller:
        with pytest.raises(Failure, match="has no address") as failed:
            await caller.request("GET", "http://nowhere.example.com/")
        assert failed.value.kind == HttpFailure.CONNECT
        with pytest.raises(Failure, match="did not take a connection in time") as failed:
            await caller.request("GET", "http://slow.example.com/")
        assert failed.value.kind == HttpFailure.CONNECT_TIMEOUT


async def test_through_a_connection_that_breaks_in_every_way(make_wire, web: WebServer) -> None:
    async with FaultProxy(web.port) as proxy, make_wire(idle_seconds=0.3) as wire:
        url = f"http://127.0.0.1:{proxy.port}/"
        async with wire.link(f"http.get:{url}**") as caller:
            web.on("/never", hang)
            waiting = asyncio.create_task(caller.request("GET", f"{url}never", read_timeout_ms=5000))
            await until(lambda: len(web.received) == 1)
            proxy.reset()
            with pytest.raises(Failure) as failed:
                await waiting
            assert failed.value.kind in (HttpFailure.READ, HttpFailure.PROTOCOL)
            proxy.stall()
            with pytest.raises(Failure) as failed:
                await caller.request("GET", url)
            assert failed.value.kind == HttpFailure.READ_TIMEOUT
            proxy.heal()
            proxy.truncate(20)
            with pytest.raises(Failure) as failed:
                await caller.request("GET", url)
            assert failed.value.kind in (HttpFailure.READ, HttpFailure.PROTOCOL)
            proxy.heal()
            proxy.refuse()
            with pytest.raises(Failure) as failed:
                await caller.request("GET", url)
            assert failed.value.kind in (HttpFailure.CONNECT, HttpFailure.READ, HttpFailure.WRITE, HttpFailure.PROTOCOL)
            proxy.heal()
            assert (await caller.request("GET", url))[0].status == 200


async def test_a_server_that_answers_before_it_has_read_all_is_heard(make_wire, web: WebServer) -> None:
    async def refuse(received: Received, writer: asyncio.StreamWriter) -> None:
        await reply(writer, 413, b"too much", {"connection": "close"})
        writer.close()

    web.on("/", refuse, unread=True)
    async with make_wire() as wire, wire.link(*_all(web)) as caller:
        call, first = caller.open(head("POST", f"http://{web.origin}/", ("Content-Length", "10")))
        await call.send_item(first)
        await call.send_item(HttpRequestItem(body=b"01234"))
        await until(lambda: len(web.received) == 1)
        await asyncio.wait_for(web.closed.wait(), 5)
        await call.send_item(HttpRequestItem(body=b"56789"))
        call.half_close()
        answered, body = await read(call)
        assert (answered.status, body) == (413, b"too much")


async def test_others_have_their_turn_between_thousands_of_chunks(make_wire, web: WebServer, monkeypatch) -> None:
    chunks = b"1\r\nx\r\n" * 5000
    web.on("/tiny", says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"))
    turns = 0
    passed_on: Counter[int] = Counter()

    def item(**fields: Any) -> HttpReplyItem:
        passed_on[turns] += 1
        return HttpReplyItem(**fields)

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with make_wire() as wire, wire.link(*_all(web)) as caller:
        monkeypatch.setattr("moorage.broker.services.http.service.HttpReplyItem", item)
        counting = asyncio.create_task(other())
        _, body = await caller.request("GET", f"http://{web.origin}/tiny")
        counting.cancel()
    assert body == b"x" * 5000
    assert max(passed_on.values()) <= 21


@pytest.mark.parametrize("limit", ["request_bytes", "response_bytes"])
async def test_bodies_beyond_the_hosts_bounds_are_cut_off(make_wire, web: WebServer, limit: str) -> None:
    web.answer("/big", body=bytes(2000))
    async with make_wire(**{limit: 1000}) as wire, wire.link(*_all(web)) as caller:
        if limit == "response_bytes":
            with pytest.raises(Failure, match="larger than the 1,000 bytes") as failed:
                await caller.request("GET", f"http://{web.origin}/big")
            assert failed.value.kind == HttpFailure.TOO_LARGE
        else:
            with pytest.raises(CallError, match="larger than the 1,000 bytes") as refused:
                await caller.request("PUT", f"http://{web.origin}/", ("Content-Length", "2000"), body=(bytes(2000),))
            assert refused.value.reason == Reason.MESSAGE_TOO_LARGE
        await until(lambda: web.open == 0)
        answered, _ = await caller.request(
            "PUT", f"http://{web.origin}/", ("Content-Length", "100"), body=(bytes(100),)
        )
        assert answered.status == 200


async def test_a_large_body_goes_both_ways_in_little_memory(make_wire, web: WebServer) -> None:
    """As fast as the slower end: what is on its way is bounded, however large the whole."""
    size = 48 * MIB

    async def echo(received: Received, writer: asyncio.StreamWriter) -> None:
        digest, count = hashlib.sha256(), 0
        async for piece in body_of(received, received.reader):
            digest.update(piece)
            count += len(piece)
        received.body = f"{count} {digest.hexdigest()}".encode()
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // MIB):
            writer.write(bytes(MIB))
            await writer.drain()

    web.on("/", echo, unread=True)
    async with make_wire() as wire, wire.link(*_all(web)) as caller:
        call, first = caller.open(head("PUT", f"http://{web.origin}/", ("Content-Length", str(size))))
        tracemalloc.start()
        await call.send_item(first)
        for _ in range(size // (64 * 1024)):
            await call.send_item(HttpRequestItem(body=bytes(64 * 1024)))
        call.half_close()
        got = 0
        async for item in call:
            got += len(item.body)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert got == size
    assert web.received[0].body == f"{size} {hashlib.sha256(bytes(size)).hexdigest()}".encode()
    # Both ends of the link, the client and the server are in this process.
    assert peak < 16 * MIB


async def test_a_reader_that_stops_reading_stops_the_server(make_wire, web: WebServer) -> None:
    sent = 0

    async def pour(received: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(64 * 1024))
            sent += 64 * 1024
            await writer.drain()

    web.on("/", pour)
    async with make_wire() as wire, wire.link(*_all(web)) as caller:
        call, first = caller.open(head("GET", f"http://{web.origin}/"))
        await call.send_item(first)
        items = call.__aiter__()
        await items.__anext__()
        # The kernel's buffers fill up, then nothing moves.
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 32 * MIB
        call.cancel()
        await until(lambda: web.open == 0 and caller.link.session.in_flight == 0)


async def test_a_caller_that_goes_away_leaves_no_connection(make_wire, web: WebServer) -> None:
    web.on("/", hang)
    async with make_wire() as wire:
        async with wire.link(*_all(web)) as caller:
            call, first = caller.open(head("GET", f"http://{web.origin}/"))
            await call.send_item(first)
            await until(lambda: len(web.received) == 1)
        # The link has ended, as when its worker is killed.
        await until(lambda: web.open == 0)
        assert not wire.broker.sessions


async def test_a_deadline_that_passes_ends_the_call_and_its_connection(make_wire, web: WebServer) -> None:
    web.on("/", hang)
    async with make_wire() as wire, wire.link(*_all(web)) as caller:
        call = caller.link.worker.open(REQUEST, None, scope="e-1", timeout=0.2)
        await call.send_item(HttpRequestItem(head=head("GET", f"http://{web.origin}/")))
        with pytest.raises(CallError) as ended:
            await read(call)
        assert ended.value.reason == Reason.DEADLINE_EXCEEDED
        await until(lambda: web.open == 0)
