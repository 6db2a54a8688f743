"""The peer on its socket, spoken to in frames: what is wrong ends the connection it came on, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import random
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote_plus

import pytest
import uvloop

from moorage.broker.services.servicebus.peer import Limits, Namespace, Peer, Right, SharedKeys, connection
from moorage.broker.services.servicebus.peer.codec import Array, Described, Symbol, UInt, ULong, encode
from moorage.broker.services.servicebus.peer.frames import (
    AMQP,
    HEADER,
    MAX_FRAME_BYTES,
    PROTOCOL_HEADERS,
    SASL,
    frame_bytes,
    read_frame,
)
from moorage.broker.services.servicebus.peer.message import (
    APPLICATION_PROPERTIES,
    DATA,
    PROPERTIES,
    VALUE,
    request_parts,
    sections,
)
from moorage.broker.services.servicebus.peer.performatives import (
    ACCEPTED,
    AmqpError,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    Flow,
    Open,
    SaslInit,
    Transfer,
    outcome,
)
from moorage.broker.services.servicebus.peer.sas import SharedKey, claim_of

KEYS = SharedKeys(
    {
        "root": SharedKey("secret"),
        "clerk": SharedKey("other", {Right.SEND: frozenset({"orders"}), Right.LISTEN: frozenset({"mail"})}),
    }
)


class Client:
    """Speaks frames, and waits for what it expects."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, performative, payload: bytes = b"", channel: int = 0) -> None:
        self.writer.write(frame_bytes(channel, performative, payload))

    async def expect(self, kind, *, skip=(Flow,)):
        async with asyncio.timeout(5):
            while True:
                frame = await read_frame(self.reader, AMQP)
                if isinstance(frame.performative, kind):
                    return frame
                if frame.performative is not None and not isinstance(frame.performative, skip):
                    raise AssertionError(f"{frame.performative} came instead of {kind.__name__}")

    async def ended(self) -> str:
        """The condition that it was closed with; empty: none."""
        async with asyncio.timeout(5):
            try:
                while True:
                    frame = await read_frame(self.reader, AMQP)
                    if isinstance(frame.performative, Close):
                        error = frame.performative.error
                        return "" if error is None else str(error.value[0])
            except (asyncio.IncompleteReadError, ConnectionError):
                return "reset"

    async def open(self) -> None:
        self.writer.write(PROTOCOL_HEADERS[AMQP])
        assert await self.reader.readexactly(8) == PROTOCOL_HEADERS[AMQP]
        self.send(Open("test"))
        await self.expect(Open)

    async def begin(self) -> None:
        await self.open()
        self.send(Begin(next_outgoing_id=0, incoming_window=100, outgoing_window=100))
        await self.expect(Begin)

    async def request(self, address: str, handle: int, properties: dict, value) -> tuple[dict, object]:
        """To $cbs or $management; handles ``handle`` and ``handle + 1``."""
        self.attach_receiver(address, handle)
        await self.expect(Attach)
        self.send(Flow(incoming_window=1000, handle=handle, delivery_count=0, link_credit=10))
        self.attach_sender(address, handle + 1)
        await self.expect(Attach)
        self.send(Transfer(handle + 1, 0, b"t", 0, settled=True), request_bytes(properties, value))
        frame = await self.expect(Transfer)
        _, answer, body = request_parts(frame.payload)
        self.send(Detach(handle, closed=True))
        self.send(Detach(handle + 1, closed=True))
        await self.expect(Detach)
        await self.expect(Detach)
        return answer, body

    async def authenticate(self, entity: str = "", key: str = "root", token: str | None = None) -> dict:
        audience = f"sb://host/{entity}"
        properties = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience}
        answer, _ = await self.request("$cbs", 0, properties, token or signed(audience, key))
        return answer

    def attach_receiver(self, address: str, handle: int) -> None:
        source = Described(ULong(0x28), [address])
        self.send(Attach(f"in-{handle}", handle, True, 0, 1, source, Described(ULong(0x29), ["me"])))

    def attach_sender(self, address: str, handle: int) -> None:
        target = Described(ULong(0x29), [address])
        attach = Attach(f"out-{handle}", handle, False, 0, 0, Described(ULong(0x28), ["me"]), target)
        attach.initial_delivery_count = 0
        self.send(attach)


def signed(audience: str, key: str = "root", *, secret: str | None = None, expires_in: float = 3600) -> str:
    resource, expiry = quote_plus(audience), int(time.time() + expires_in)
    secret = secret if secret is not None else KEYS.keys[key].text
    digest = hmac.digest(secret.encode(), f"{resource}\n{expiry}".encode(), hashlib.sha256)
    signature = quote_plus(base64.b64encode(digest))
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={key}"


def request_bytes(properties: dict, value) -> bytes:
    return b"".join(
        encode(Described(ULong(code), part))
        for code, part in ((PROPERTIES, ["id"]), (APPLICATION_PROPERTIES, properties), (VALUE, value))
    )


def body(data: bytes) -> bytes:
    return encode(Described(ULong(DATA), data))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer(Namespace(limits=Limits(max_message_bytes=100_000)), KEYS) as opened:
        yield opened


@asynccontextmanager
async def client(peer: Peer) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def works(peer: Peer) -> None:
    """Somebody else sends and receives."""
    async with client(peer) as other:
        await other.begin()
        assert (await other.authenticate())["status-code"] == 202
        other.attach_sender("check", 2)
        await other.expect(Attach)
        other.send(Transfer(2, 1, b"t", 0), body(b"x"))
        await other.expect(Disposition)
        other.attach_receiver("amqps://host/Check", 3)
        await other.expect(Attach)
        other.send(Flow(incoming_window=1000, handle=3, delivery_count=0, link_credit=1))
        frame = await other.expect(Transfer)
        other.send(Disposition(True, frame.performative.delivery_id, settled=False, state=outcome(ACCEPTED)))
        settled = await other.expect(Disposition)
        assert settled.performative.settled


async def test_a_client_sends_receives_and_settles(peer: Peer) -> None:
    await works(peer)


async def test_sasl_comes_first_when_the_client_wants_it(peer: Peer) -> None:
    async with client(peer) as one:
        one.writer.write(PROTOCOL_HEADERS[SASL])
        assert await one.reader.readexactly(8) == PROTOCOL_HEADERS[SASL]
        await read_frame(one.reader, SASL)
        one.writer.write(frame_bytes(0, SaslInit(Symbol("ANONYMOUS")), kind=SASL))
        await read_frame(one.reader, SASL)
        await one.begin()


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"AMQP\x00\x00\x09\x01",
        b"AMQP\x02\x01\x00\x00",
        PROTOCOL_HEADERS[SASL] + frame_bytes(0, SaslInit(Symbol("NONE")), kind=SASL),
        PROTOCOL_HEADERS[AMQP] + frame_bytes(0, Begin()),
        PROTOCOL_HEADERS[AMQP] + HEADER.pack(2**31, 2, 0, 0),
        PROTOCOL_HEADERS[AMQP] + HEADER.pack(MAX_FRAME_BYTES + 1, 2, 0, 0),
        PROTOCOL_HEADERS[AMQP] + HEADER.pack(4, 2, 0, 0),
        PROTOCOL_HEADERS[AMQP] + HEADER.pack(12, 255, 0, 0) + b"\x00" * 4,
        PROTOCOL_HEADERS[AMQP] + HEADER.pack(12, 2, 7, 0) + b"\x00" * 4,
    ],
    ids=lambda first: first[8:24].hex() or first.hex(),
)
async def test_what_does_not_begin_as_amqp_is_ended(peer: Peer, first: bytes) -> None:
    async with client(peer) as one:
        one.writer.write(first)
        async with asyncio.timeout(5):
            assert b"amqp:decode-error" in await one.reader.read()
    await works(peer)


async def test_who_says_nothing_is_not_waited_for(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_SECONDS", 0.05)
    async with client(peer) as one, asyncio.timeout(5):
        await one.reader.read()


BAD = [
    (Begin(), b""),
    (Transfer(0, 1), b""),
    (Attach("x", 64, False), b""),
    (Attach("x", 2**32 - 1, True), b""),
    (SaslInit(Symbol("PLAIN")), b""),
    (Open("again"), b""),
]


@pytest.mark.parametrize(("performative", "payload"), BAD, ids=[type(each[0]).__name__ for each in BAD])
async def test_frames_out_of_place_end_the_connection(peer: Peer, performative, payload: bytes) -> None:
    async with client(peer) as one:
        await one.begin()
        if isinstance(performative, Transfer):
            # To a link that is there, without an id.
            assert (await one.authenticate())["status-code"] == 202
            one.attach_sender("check", 0)
            await one.expect(Attach)
            performative = Transfer(0)
        one.send(performative, payload)
        assert await one.ended() == "amqp:decode-error"
    await works(peer)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x53\x12\xc0\x02\x01\x40",
        b"\x00\x53\x13\xc0\x03\x01\xa1\x00",
        b"\x00\x53\x15\x45",
        b"\x00\x53\xff\x45",
        b"\x00\xa3\x04amqp\x45",
        b"\x00\x53\x14\xc1\x01\x00",
        b"\x40",
        b"\xff" * 64,
    ],
    ids=lambda raw: raw[:8].hex(),
)
async def test_performatives_that_are_none_end_the_connection(peer: Peer, raw: bytes) -> None:
    async with client(peer) as one:
        await one.begin()
        one.writer.write(HEADER.pack(8 + len(raw), 2, 0, 0) + raw)
        assert await one.ended() == "amqp:decode-error"
    await works(peer)


async def test_random_frames_end_their_connection_at_worst(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(2026)
    for _ in range(100):
        async with client(peer) as one:
            await one.begin()
            for _ in range(5):
                raw = b"\x00\x53" + bytes([chance.randrange(0x10, 0x19)]) + chance.randbytes(chance.randrange(60))
                one.writer.write(HEADER.pack(8 + len(raw), 2, 0, chance.randrange(3)) + raw)
            one.writer.write_eof()
            await one.ended()
    assert "connection to the Service Bus peer failed" not in caplog.text
    await works(peer)


def test_a_client_that_goes_without_a_word_is_nobody_s_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """With the loop of ``moorage serve``, which does not take what is written to a connection that is gone."""

    async def come_and_go() -> None:
        async with Peer(Namespace(), KEYS) as peer, asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
            writer.write(PROTOCOL_HEADERS[AMQP])
            writer.write(frame_bytes(0, Open("c", idle_time_out=100)))
            await reader.readexactly(8)
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no farewell
            writer.transport.abort()
            while peer.connections:
                await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(come_and_go())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_messages_have_a_largest_size_and_the_session_goes_on(peer: Peer) -> None:
    async with client(peer) as one:
        await one.begin()
        await one.authenticate()
        one.attach_sender("orders", 2)
        await one.expect(Attach)
        chunk = body(b"x" * 40_000)
        for number in range(3):
            one.send(Transfer(2, 0 if number == 0 else None, b"t", 0, more=True), chunk)
        detached = await one.expect(Detach)
        assert detached.performative.error.value[0] == "amqp:link:message-size-exceeded"
        one.attach_sender("orders", 2)
        await one.expect(Attach)
        one.send(Transfer(2, 1, b"u", 0), body(b"small"))
        await one.expect(Disposition)


async def test_messages_begun_and_not_ended_are_bounded(peer: Peer) -> None:
    async with client(peer) as one:
        await one.begin()
        await one.authenticate()
        for handle in range(2, 60):
            one.attach_sender("orders", handle)
            one.send(Transfer(handle, handle, b"t", 0, more=True), body(b"x" * 60_000))
            one.send(Transfer(handle, None, b"t", 0, more=True), b"x" * 30_000)
        assert await one.ended() == "amqp:decode-error"
    await works(peer)


async def test_who_does_not_read_is_handed_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_UNREAD_BYTES", 200_000)
    namespace = Namespace()
    for _ in range(300):
        namespace.publish("orders", body(b"x" * 50_000), 0)
    async with Peer(namespace, KEYS) as peer, client(peer) as one:
        await one.begin()
        await one.authenticate()
        one.attach_receiver("orders", 2)
        one.send(Flow(incoming_window=1000, handle=2, delivery_count=0, link_credit=2**31))
        await works(peer)
        ready, locked, _ = namespace.queue("orders").counts
        assert ready > 100
        assert locked > 0
        # It reads, and the rest comes.
        for _ in range(300):
            await one.expect(Transfer, skip=(Flow, Attach))
        assert namespace.queue("orders").counts == (0, 300, 0)


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("Bearer abc", "no shared access signature"),
        (signed("sb://host/orders", secret="wrong"), "not that of the key"),
        (signed("sb://host/orders", "clerk", secret="secret"), "not that of the key"),
        (signed("sb://host/orders", expires_in=-1), "expired"),
        (signed("sb://host/orders").replace("skn=root", "skn=nobody"), "not that of the key"),
        (signed("sb://host/orders").replace("skn=root", "skn=root&skn=root"), "once each"),
        (signed("sb://host/orders").replace("orders", "%2A"), "not that of the key"),
        (signed("sb://host/mail"), "another entity"),
        (signed("sb://host/order"), "another entity"),
        (signed("sb://host/mail", "clerk").replace("mail", "orders"), "not that of the key"),
    ],
)
async def test_forged_tokens_are_refused(peer: Peer, token: str, problem: str) -> None:
    async with client(peer) as one:
        await one.begin()
        answer = await one.authenticate("orders", token=token)
        assert answer["status-code"] == 401
        assert problem in answer["status-description"]
        one.attach_sender("orders", 2)
        await one.expect(Attach)
        detached = await one.expect(Detach)
        assert detached.performative.error.value[0] == "amqp:unauthorized-access"


async def test_signatures_without_a_key_are_not_those_of_an_empty_one() -> None:
    with pytest.raises(AmqpError):
        claim_of(signed("sb://host/orders", secret=""), SharedKeys(), time.time())


@pytest.mark.parametrize(
    ("entity", "allowed"),
    [
        ("orders", "send"),
        ("mail", "receive"),
        ("Orders", "send"),
        ("orders/$deadletterqueue", ""),
        ("mail/$DeadLetterQueue", ""),
        ("orders/subscriptions/a", ""),
        ("other", ""),
    ],
)
async def test_a_key_opens_what_it_is_for(peer: Peer, entity: str, allowed: str) -> None:
    async with client(peer) as one:
        await one.begin()
        for name in ("orders", "mail", entity):
            await one.authenticate(name, "clerk")
        for kind, attach in (("send", one.attach_sender), ("receive", one.attach_receiver)):
            attach(entity, 2)
            await one.expect(Attach)
            if kind == allowed:
                one.send(Detach(2, closed=True))
            detached = await one.expect(Detach)
            assert (detached.performative.error is None) == (kind == allowed)


async def test_management_asks_for_the_right_of_each_operation(peer: Peer) -> None:
    schedule = {"messages": [{"message": body(b"x")}]}
    peek = {"from-sequence-number": 1, "message-count": UInt(1)}
    async with client(peer) as one:
        await one.begin()
        statuses = []
        for entity in ("orders", "mail", "other"):
            await one.authenticate(entity, "clerk")
            for operation, value in (("schedule-message", schedule), ("peek-message", peek), ("mystery", {})):
                properties = {"operation": f"com.microsoft:{operation}"}
                answer, _ = await one.request(f"{entity}/$management", 0, properties, value)
                statuses.append(answer["statusCode"])
        assert statuses == [200, 401, 501, 401, 204, 501, 401, 401, 501]


@pytest.mark.parametrize(
    ("operation", "value"),
    [
        ("renew-lock", {"lock-tokens": Array([ULong(1)])}),
        ("renew-lock", {}),
        ("update-disposition", {"disposition-status": "completed", "lock-tokens": []}),
        ("peek-message", {"from-sequence-number": "1", "message-count": UInt(1)}),
        ("schedule-message", {"messages": [{"message": "text"}]}),
        ("schedule-message", {"messages": [{"message": b"\x40"}]}),
        ("receive-by-sequence-number", {"sequence-numbers": Array(), "receiver-settle-mode": UInt(1)}),
        ("cancel-scheduled-message", {"sequence-numbers": ["1"]}),
    ],
)
async def test_requests_that_are_none_end_the_connection(peer: Peer, operation: str, value) -> None:
    async with client(peer) as one:
        await one.begin()
        await one.authenticate()
        one.attach_sender("orders/$management", 2)
        await one.expect(Attach)
        properties = {"operation": f"com.microsoft:{operation}"}
        one.send(Transfer(2, 1, b"t", 0, settled=True), request_bytes(properties, value))
        assert await one.ended() == "amqp:decode-error"
    await works(peer)


async def test_connections_beyond_the_bound_are_closed(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.broker.services.servicebus.peer.server.MAX_CONNECTIONS", 1)
    async with client(peer) as first:
        await first.begin()
        async with client(peer) as second, asyncio.timeout(5):
            with suppress(ConnectionError):
                assert await second.reader.read() == b""
    async with asyncio.timeout(5):
        while peer.connections:
            await asyncio.sleep(0)
    await works(peer)


async def test_closing_ends_the_connections_and_the_port(peer: Peer) -> None:
    async with client(peer) as one:
        await one.begin()
        await peer.close()
        await peer.close()
        async with asyncio.timeout(5):
            with suppress(ConnectionError):
                await one.reader.read()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", peer.port)


def test_the_fields_of_a_section_are_those_of_the_wire() -> None:
    assert list(sections(body(b"x"))) == [(DATA, b"x", body(b"x"))]
    assert struct.calcsize(HEADER.format) == 8
