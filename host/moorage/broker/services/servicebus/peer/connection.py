"""One client's connection, from its first bytes to its last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

from moorage.broker.services.servicebus.peer.codec import Array, Int, Malformed, Symbol
from moorage.broker.services.servicebus.peer.frames import (
    AMQP,
    MAX_FRAME_BYTES,
    PROTOCOL_HEADERS,
    SASL,
    frame_bytes,
    read_frame,
    read_protocol_header,
)
from moorage.broker.services.servicebus.peer.namespace import Namespace
from moorage.broker.services.servicebus.peer.performatives import (
    AmqpError,
    Begin,
    Close,
    End,
    Open,
    Performative,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
)
from moorage.broker.services.servicebus.peer.sas import Authority, Claim, Right, claim_of, entity_path
from moorage.broker.services.servicebus.peer.session import Session

log = logging.getLogger(__name__)

CONTAINER = "moorage-servicebus-peer"

#: For the whole exchange up to the client's Open.
HANDSHAKE_SECONDS = 10.0

MAX_SESSIONS = 16
MAX_CLAIMS = 64

#: Of answers that the client has not read; beyond it is handed no further messages, and not read from.
MAX_UNREAD_BYTES = 1024 * 1024

#: What AMQP obliges everybody to take.
_SMALLEST_FRAME = 512

_MECHANISMS = ("MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL")


class Connection:
    """Implements ``session.Client``. Who is who, tokens say: the mechanisms of SASL are all let through."""

    def __init__(
        self, namespace: Namespace, authority: Authority, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.namespace = namespace
        self.frame_bytes = _SMALLEST_FRAME
        self._authority = authority
        self._reader = reader
        self._writer = writer
        self._sessions: dict[int, Session] = {}
        self._claims: dict[tuple[str, str], Claim] = {}
        self._heartbeat: asyncio.Task[None] | None = None
        #: While the client does not read.
        self._draining: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Until one of both ends it. What a client does wrong ends its own connection, and nothing else."""
        error: AmqpError | None = None
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await self._shake_hands()
            await self._converse()
        except Malformed as malformed:
            error = AmqpError("amqp:decode-error", str(malformed))
        except AmqpError as refused:
            error = refused
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            pass
        finally:
            self._end(error)

    # -- what sessions ask for ----------------------------------------------------------------------------------

    @property
    def is_congested(self) -> bool:
        """Once it is not any more, its links are looked at again."""
        is_full = self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES
        if is_full and self._draining is None:
            self._draining = asyncio.create_task(self._drained(), name="servicebus drain")
        return is_full

    def send(self, channel: int, performative: Performative, payload: bytes = b"") -> None:
        self._write(frame_bytes(channel, performative, payload))

    def require(self, right: Right, entity: str) -> None:
        now = time.time()
        for claim in self._claims.values():
            if (
                claim.covers(entity)
                and claim.expires_at > now
                and self._authority.allows(claim.key_name, right, entity)
            ):
                return
        raise AmqpError("amqp:unauthorized-access", f"no token with the claim {right.value} was shown for {entity!r}")

    def put_token(self, properties: dict[str, Any], token: Any) -> dict[str, Any]:
        try:
            if properties.get("operation") != "put-token" or not isinstance(token, str):
                raise AmqpError("amqp:unauthorized-access", "a token is expected here, and nothing else")
            claim = claim_of(token, self._authority, time.time())
            self._check_audience(claim, properties.get("name"))
            if len(self._claims) >= MAX_CLAIMS:
                raise AmqpError("amqp:unauthorized-access", f"a connection has at most {MAX_CLAIMS} tokens")
        except AmqpError as refused:
            return {"status-code": Int(401), "status-description": refused.description}
        self._claims[claim.key_name, claim.path] = claim
        return {"status-code": Int(202), "status-description": "Accepted"}

    def _check_audience(self, claim: Claim, audience: Any) -> None:
        """Raises AmqpError when the key can do nothing with what the client names."""
        entity = entity_path(audience) if isinstance(audience, str) else None
        if entity is None or not claim.covers(entity):
            raise AmqpError("amqp:unauthorized-access", "the token is refused: it is for another entity")
        if entity and not any(self._authority.allows(claim.key_name, right, entity) for right in Right):
            raise AmqpError("amqp:unauthorized-access", f"the token is refused: its key has no rights to {entity!r}")

    # -- the protocol -------------------------------------------------------------------------------------------

    async def _shake_hands(self) -> None:
        layer = await read_protocol_header(self._reader)
        if layer == SASL:
            await self._authenticate()
            layer = await read_protocol_header(self._reader)
        if layer != AMQP:
            raise Malformed("the SASL layer comes once")
        self._writer.write(PROTOCOL_HEADERS[AMQP])
        opened = (await read_frame(self._reader, AMQP)).performative
        if not isinstance(opened, Open):
            raise Malformed("the first frame is no Open")
        wanted = MAX_FRAME_BYTES if opened.max_frame_size is None else opened.max_frame_size
        self.frame_bytes = max(_SMALLEST_FRAME, min(wanted, MAX_FRAME_BYTES))
        answer = Open(CONTAINER, max_frame_size=MAX_FRAME_BYTES, channel_max=MAX_SESSIONS - 1)
        self.send(0, answer)
        if opened.idle_time_out:
            self._heartbeat = asyncio.create_task(self._beat(opened.idle_time_out / 1000), name="servicebus heartbeat")

    async def _authenticate(self) -> None:
        self._writer.write(PROTOCOL_HEADERS[SASL])
        mechanisms = SaslMechanisms(Array(map(Symbol, _MECHANISMS)))
        self._writer.write(frame_bytes(0, mechanisms, kind=SASL))
        init = (await read_frame(self._reader, SASL)).performative
        if not isinstance(init, SaslInit) or init.mechanism not in _MECHANISMS:
            raise Malformed("SASL begins with an init of one of the mechanisms that were offered")
        self._writer.write(frame_bytes(0, SaslOutcome(0), kind=SASL))

    async def _converse(self) -> None:
        while True:
            frame = await read_frame(self._reader, AMQP)
            if isinstance(frame.performative, Close):
                return
            if frame.performative is not None:
                self._take(frame.channel, frame.performative, frame.payload)
            await self._writer.drain()

    def _take(self, channel: int, performative: Performative, payload: bytes) -> None:
        if isinstance(performative, Begin):
            if channel in self._sessions or channel >= MAX_SESSIONS:
                raise Malformed("a session begins on a channel that is in use, or out of range")
            self._sessions[channel] = Session(self, channel, performative)
            return
        session = self._sessions.get(channel)
        if session is None:
            raise Malformed("a frame belongs to no session")
        if isinstance(performative, End):
            session.end()
            del self._sessions[channel]
            self.send(channel, End())
        else:
            session.handle(performative, payload)

    async def _drained(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.drain()
            self._draining = None
            for session in tuple(self._sessions.values()):
                session.pump()

    async def _beat(self, idle_seconds: float) -> None:
        """Empty frames often enough, whatever else is sent."""
        with contextlib.suppress(OSError):
            while True:
                await asyncio.sleep(max(0.05, idle_seconds / 2.5))
                self._write(frame_bytes(0, None))
                await self._writer.drain()

    def _write(self, data: bytes) -> None:
        """Nothing to a client that is gone: uvloop raises then, where asyncio looks away."""
        if not self._writer.is_closing():
            self._writer.write(data)

    def _end(self, error: AmqpError | None) -> None:
        for task in (self._heartbeat, self._draining):
            if task is not None:
                task.cancel()
        for session in self._sessions.values():
            session.end()
        if error is not None:
            log.info("a connection to the Service Bus peer is ended: %s", error)
        self.send(0, Close(None if error is None else error.described()))
        self._writer.close()
