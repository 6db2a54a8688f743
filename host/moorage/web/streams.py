"""Answers that go on: server-sent events for what is followed, one JSON object a line for long work.

The event format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html. Starlette's
StreamingResponse was tried: it cancels the body with an anyio scope, which cancels every await of the clean-up too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from moorage.errors import MoorageError
from moorage.web.problems import problem_of, unexpected
from moorage.web.schemas.problems import Problem

log = logging.getLogger(__name__)

#: Something is sent this often on a quiet stream, so that whoever stands between does not end it.
KEEP_ALIVE_SECONDS = 15.0

#: Key of the request's state under which a server puts an asyncio.Event that is set when it stops.
CLOSING = "closing"

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"

Chunks = AsyncGenerator[bytes, None]


def event(data: BaseModel, *, name: str, event_id: int = 0) -> bytes:
    """One server-sent event; an id lets a client go on from there with Last-Event-ID."""
    identity = f"id: {event_id}\n" if event_id else ""
    return f"{identity}event: {name}\ndata: {data.model_dump_json()}\n\n".encode()


def line(data: BaseModel) -> bytes:
    """One line of a stream of JSON objects."""
    return data.model_dump_json(exclude_unset=True).encode() + b"\n"


def failure_of(error: Exception) -> Problem:
    """What a stream that has begun ends with; unexpected errors go to the log and become a generic sentence."""
    if isinstance(error, MoorageError):
        return problem_of(error)
    log.error("a stream met an unexpected error", exc_info=error)
    return unexpected()


class ChunkStream(Response):
    """Sends chunks until they, the client or the server end, and closes their generator in any case."""

    def __init__(self, request: Request, chunks: Chunks, *, media_type: str, keep_alive: bytes = b"\n") -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._chunks = chunks
        self._keep_alive = keep_alive
        self._closing = _closing_of(request)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        ends = {
            asyncio.create_task(self._closing.wait(), name="stream: the server stops"),
            asyncio.create_task(_disconnected(receive), name="stream: the client leaves"),
        }
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # The head leaves at once, however long the first chunk takes.
            await send({"type": "http.response.body", "body": self._keep_alive, "more_body": True})
            await self._send_all(send, ends)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await _cancel(ends)
            await self._chunks.aclose()

    async def _send_all(self, send: Send, ends: set[asyncio.Task[Any]]) -> None:
        upcoming = asyncio.create_task(_next(self._chunks), name="stream: next chunk")
        try:
            while True:
                done, _ = await asyncio.wait(
                    {upcoming, *ends}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if upcoming in done:
                    chunk = upcoming.result()
                    if chunk is None:
                        return
                    upcoming = asyncio.create_task(_next(self._chunks), name="stream: next chunk")
                elif done:
                    return
                else:
                    chunk = self._keep_alive
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            await _cancel({upcoming})


class EventStream(ChunkStream):
    """Server-sent events; a failure becomes a last event, ``problem``."""

    def __init__(self, request: Request, events: Chunks) -> None:
        super().__init__(request, _ending_in_a_problem(events), media_type=EVENTS, keep_alive=b": still here\n\n")


def _closing_of(request: Request) -> asyncio.Event:
    """One that never comes where the server has none."""
    found: Any = getattr(request.state, CLOSING, None)
    return found if isinstance(found, asyncio.Event) else asyncio.Event()


async def _ending_in_a_problem(events: Chunks) -> Chunks:
    try:
        async for item in events:
            yield item
    except Exception as error:  # noqa: BLE001 - the answer has begun: its last event is where the failure can be told
        yield event(failure_of(error), name="problem")
    finally:
        await events.aclose()


async def _next(chunks: Chunks) -> bytes | None:
    async for chunk in chunks:
        return chunk
    return None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
