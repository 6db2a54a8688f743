"""One request over the channel, for whichever library makes it."""

from __future__ import annotations

from typing import AsyncIterable, AsyncIterator, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

from moorage_proto import http_pb2
from moorage_proto.http_pb2 import (
    HttpFailure,
    HttpHeader,
    HttpReplyHead,
    HttpReplyItem,
    HttpRequestHead,
    HttpRequestItem,
)
from moorage_proto.methods import Method, service_methods
from moorage_sdk.channel import Channel, Conversation
from moorage_sdk.services.http.secret import parts

#: Of a body that comes in larger pieces.
PIECE_BYTES = 64 * 1024

#: (name, value)
RawHeader = Tuple[bytes, bytes]

_REQUEST: Method[HttpRequestItem, HttpReplyItem] = service_methods(http_pb2, "HttpService")["request"]


class Failed(Exception):
    """The request was allowed and did not end well. Each library's transport turns it into an error of its own."""

    def __init__(self, failure: HttpFailure) -> None:
        super().__init__(failure.message)
        self.kind = failure.kind
        self.message = failure.message


def request_head(
    method: str, url: str, headers: Iterable[RawHeader], timeouts: Mapping[str, Optional[float]]
) -> HttpRequestHead:
    """``timeouts``: seconds by "connect", "read", "write" and "pool"; None: as long as the host allows."""
    head = HttpRequestHead(
        method=method,
        url=url,
        headers=[HttpHeader(name=name.decode("latin-1"), parts=parts(value)) for name, value in headers],
    )
    for name, seconds in timeouts.items():
        if seconds is not None:
            setattr(head, f"{name}_timeout_ms", max(1, int(seconds * 1000)))
    return head


class Exchange:
    """From a thread. Raises Failed, and the errors of the channel."""

    def __init__(self, channel: Channel, head: HttpRequestHead, body: Iterable[Union[bytes, str]]) -> None:
        """Sends the request, and waits for the head of the response."""
        self._conversation: Conversation[HttpRequestItem, HttpReplyItem] = channel.converse(_REQUEST)
        self._replies = iter(self._conversation)
        try:
            self._send(head, body)
            self.head = self._first()
        except BaseException:
            self.close()
            raise

    def body(self) -> Iterator[bytes]:
        for item in self._replies:
            yield _piece(item)

    def close(self) -> None:
        """What has not arrived is not wanted. Idempotent."""
        self._conversation.close()

    def _send(self, head: HttpRequestHead, body: Iterable[Union[bytes, str]]) -> None:
        """Until the host wants no more: what it says then is a reply, or the error that reading raises."""
        if self._conversation.send(HttpRequestItem(head=head)):
            for chunk in body:
                for piece in _pieces(chunk):
                    if not self._conversation.send(HttpRequestItem(body=piece)):
                        return
        self._conversation.half_close()

    def _first(self) -> HttpReplyHead:
        for item in self._replies:
            return _head(item)
        raise _nothing()


class AsyncExchange:
    """As Exchange, for coroutines; made by ``start``."""

    def __init__(self, conversation: Conversation[HttpRequestItem, HttpReplyItem]) -> None:
        self._conversation = conversation
        self._replies = conversation.__aiter__()
        self.head = HttpReplyHead()

    @classmethod
    async def start(cls, channel: Channel, head: HttpRequestHead, body: AsyncIterable[bytes]) -> AsyncExchange:
        exchange = cls(channel.converse(_REQUEST))
        try:
            await exchange._send(head, body)
            exchange.head = await exchange._first()
        except BaseException:
            exchange.close()
            raise
        return exchange

    async def body(self) -> AsyncIterator[bytes]:
        async for item in self._replies:
            yield _piece(item)

    def close(self) -> None:
        self._conversation.close()

    async def _send(self, head: HttpRequestHead, body: AsyncIterable[bytes]) -> None:
        if await self._conversation.send_async(HttpRequestItem(head=head)):
            async for chunk in body:
                for piece in _pieces(chunk):
                    if not await self._conversation.send_async(HttpRequestItem(body=piece)):
                        return
        self._conversation.half_close()

    async def _first(self) -> HttpReplyHead:
        async for item in self._replies:
            return _head(item)
        raise _nothing()


def raw_headers(head: HttpReplyHead) -> List[RawHeader]:
    return [(header.name.encode("latin-1"), b"".join(part.text for part in header.parts)) for header in head.headers]


def _pieces(chunk: Union[bytes, str]) -> Iterator[bytes]:
    data = chunk.encode() if isinstance(chunk, str) else bytes(chunk)
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


def _head(item: HttpReplyItem) -> HttpReplyHead:
    if item.WhichOneof("item") == "failure":
        raise Failed(item.failure)
    return item.head


def _piece(item: HttpReplyItem) -> bytes:
    if item.WhichOneof("item") == "failure":
        raise Failed(item.failure)
    return item.body


def _nothing() -> Failed:
    return Failed(HttpFailure(kind=HttpFailure.PROTOCOL, message="The host answered with nothing."))
