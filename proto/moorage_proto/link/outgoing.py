"""The caller's end of one call that streams, for coroutines of the link's loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, AsyncIterator, Callable, Deque, Generic, Optional, TypeVar

from google.protobuf.message import DecodeError, Message

from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.link.client import ClientCall
from moorage_proto.link.credit import cost
from moorage_proto.methods import Method

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class OutgoingCall(Generic[Request, Reply]):
    """A call that streams, for coroutines of the link's loop. Made by ``Link.open``."""

    def __init__(self, method: Method[Request, Reply], loop: asyncio.AbstractEventLoop) -> None:
        self._method = method
        self._loop = loop
        self._call: Optional[ClientCall] = None
        self._items: Deque[bytes] = deque()
        self._arrived: Optional[asyncio.Future[None]] = None
        self._over = False
        self._reply: Optional[bytes] = None
        self._error: Optional[CallError] = None

    def bind(self, call: ClientCall) -> None:
        """For the link: the call in bytes, before it starts."""
        self._call = call

    async def send_item(self, request: Request) -> None:
        """Waits for credit. Raises the CallError with which the call has ended."""
        call = self._bound
        while not call.can_send and not call.over:
            sendable = self._loop.create_future()
            call.when_sendable(lambda: _set(sendable))  # noqa: B023 - called back before the next turn of the loop
            await sendable
        self._raise_error()
        call.send_item(request.SerializeToString())

    def half_close(self) -> None:
        """No item follows."""
        self._bound.half_close()

    async def result(self) -> Reply:
        """The reply of a method that does not stream replies. Raises CallError."""
        await self._until(lambda: self._over)
        self._raise_error()
        assert self._reply is not None
        return parse(self._method, self._reply)

    async def __aiter__(self) -> AsyncIterator[Reply]:
        while True:
            await self._until(lambda: bool(self._items) or self._over)
            if not self._items:
                self._raise_error()
                return
            data = self._items.popleft()
            self._bound.consumed(cost(len(data)))
            yield parse(self._method, data)

    def cancel(self) -> None:
        """Idempotent."""
        self._bound.cancel()

    async def ended(self) -> None:
        """Until the called side has really stopped, which after ``cancel`` may be later than the call's own end."""
        call = self._bound
        if not call.ended:
            stopped = self._loop.create_future()
            call.on_ended = lambda: _set(stopped)
            await stopped

    @property
    def _bound(self) -> ClientCall:
        assert self._call is not None
        return self._call

    def receive_item(self, data: bytes) -> None:
        """For the link."""
        self._items.append(data)
        self._announce()

    def receive_done(self, reply: Optional[bytes], error: Optional[CallError]) -> None:
        """For the link."""
        self._over, self._reply, self._error = True, reply, error
        self._announce()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._arrived = self._loop.create_future()
            await self._arrived

    def _announce(self) -> None:
        if self._arrived is not None:
            _set(self._arrived)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


def parse(method: Method[Any, Reply], data: bytes) -> Reply:
    """A reply or item as its message. Raises CallError when it is not one."""
    try:
        return method.reply.FromString(data)
    except (DecodeError, ValueError):
        raise CallError(
            Status.INTERNAL,
            Reason.PROTOCOL_VIOLATION,
            f"the answer of {method.path} is not a {method.reply.__name__}; both ends must use the same contract",
        ) from None


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
