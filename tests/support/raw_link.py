"""A client of a worker's socket that follows no rule but the one of a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from moorage_proto import link_pb2
from moorage_proto.link import LinkLimits, frames, handshake

WAIT_SECONDS = 10.0

_METHOD = f"/{handshake.SERVICE}/{handshake.RPC}"


class RawLink:
    """One stream of LinkService.Link, in bytes."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def send(self, data: bytes) -> None:
        """What the host has cut off meanwhile is not an error of the sender's."""
        with contextlib.suppress(asyncio.InvalidStateError, aio.AioRpcError, aio.InternalError):
            async with asyncio.timeout(WAIT_SECONDS):
                await self._call.write(data)

    async def frame(self) -> link_pb2.Frame | None:
        """The first frame of the next batch; None when the host has ended the stream, or nobody answers."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                data = await self._call.read()
        except (asyncio.InvalidStateError, aio.AioRpcError, aio.InternalError):
            return None
        return None if data is aio.EOF else frames.decode(data, LinkLimits())[0]

    async def ended(self) -> grpc.StatusCode:
        """How gRPC ended the stream, once it has."""
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.frame() is not None:
                continue
            return await self._call.code()


class Dial:
    """One connection to a worker's socket."""

    def __init__(self, channel: aio.Channel) -> None:
        self._channel = channel

    async def ready(self) -> None:
        """Until the connection stands; without it, the first stream makes it."""
        async with asyncio.timeout(WAIT_SECONDS):
            await self._channel.channel_ready()

    def stream(self) -> RawLink:
        return RawLink(self._channel.stream_stream(_METHOD)())


@asynccontextmanager
async def dialled(path: Path) -> AsyncIterator[Dial]:
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_retries", 0),
    ]
    async with aio.insecure_channel(f"unix:{path}", options=options) as channel:
        yield Dial(channel)


def hello(token: bytes, *, versions: tuple[int, ...] = (1,)) -> bytes:
    return frames.single(link_pb2.Frame(hello=link_pb2.Hello(token=token, protocol_versions=versions)))
