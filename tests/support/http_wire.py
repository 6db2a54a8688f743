"""Requests in the contract's own messages, over a link, to a real HTTP service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from memory_link import RecordingAudit, connected, grants

from moorage.broker.broker import Broker
from moorage.broker.services.http import HttpService
from moorage.broker.services.http.base import Bounds
from moorage_proto import http_pb2
from moorage_proto.http_pb2 import HttpHeader, HttpHeaderPart, HttpRequestHead, HttpRequestItem
from moorage_proto.methods import service_methods

REQUEST = service_methods(http_pb2, "HttpService")["request"]

BOUNDS = Bounds(
    connect_seconds=2,
    idle_seconds=5,
    request_bytes=256 * 1024**2,
    response_bytes=256 * 1024**2,
    connections=16,
    connections_per_host=8,
)


async def no_secrets(installation: str, name: str) -> str | None:
    return None


class Wire:
    """A broker with the service behind it."""

    def __init__(self, service: HttpService, audit: RecordingAudit) -> None:
        self.service = service
        self.audit = audit
        self.broker = Broker([service], audit)

    @contextlib.asynccontextmanager
    async def link(self, *capabilities: str, deny: tuple[str, ...] = (), **options: Any) -> AsyncIterator[Caller]:
        async with connected(self.broker, grants(*capabilities, deny=deny), **options) as link:
            yield Caller(link)


class Caller:
    def __init__(self, link: Any) -> None:
        self.link = link

    async def set_grants(self, *capabilities: str) -> None:
        epoch = self.link.session.grants.epoch + 1
        await self.link.session.set_grants(grants(*capabilities, epoch=epoch))

    def open(self, head: HttpRequestHead) -> Any:
        call = self.link.worker.open(REQUEST, None, scope="e-1", timeout=20)
        return call, HttpRequestItem(head=head)

    async def request(
        self, method: str, url: str, *headers: tuple[str, Any], body: tuple[bytes, ...] = (), **timeouts: int
    ) -> tuple[http_pb2.HttpReplyHead, bytes]:
        """Raises CallError, and Failure."""
        call, first = self.open(head(method, url, *headers, **timeouts))
        await call.send_item(first)
        for piece in body:
            await call.send_item(HttpRequestItem(body=piece))
        call.half_close()
        return await read(call)


class Failure(Exception):
    def __init__(self, failure: http_pb2.HttpFailure) -> None:
        super().__init__(failure.message)
        self.kind = failure.kind


async def read(call: Any) -> tuple[http_pb2.HttpReplyHead, bytes]:
    found: http_pb2.HttpReplyHead | None = None
    pieces: list[bytes] = []
    async for item in call:
        kind = item.WhichOneof("item")
        if kind == "failure":
            raise Failure(item.failure)
        if kind == "head":
            found = item.head
        else:
            pieces.append(item.body)
    assert found is not None
    return found, b"".join(pieces)


def head(method: str, url: str, *headers: tuple[str, Any], **timeouts: int) -> HttpRequestHead:
    """A header's value is text, bytes, or parts."""
    return HttpRequestHead(
        method=method,
        url=url,
        headers=[HttpHeader(name=name, parts=_parts(value)) for name, value in headers],
        **timeouts,
    )


def secret(name: str) -> HttpHeaderPart:
    return HttpHeaderPart(secret=name)


def _parts(value: Any) -> list[HttpHeaderPart]:
    if isinstance(value, list):
        return value
    return [HttpHeaderPart(text=value if isinstance(value, bytes) else value.encode("latin-1"))]


def headers_of(reply: http_pb2.HttpReplyHead) -> dict[str, str]:
    return {each.name.lower(): b"".join(part.text for part in each.parts).decode("latin-1") for each in reply.headers}


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Waits in the loop until something that others do is done."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
