"""One streaming call as plugin code sees it, from any thread or event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Any, AsyncIterator, Callable, Deque, Generic, Iterator, List, Optional, TypeVar

from google.protobuf.message import Message

from moorage_proto.errors import CallError
from moorage_proto.link import ClientCall
from moorage_proto.link.credit import cost
from moorage_proto.link.outgoing import parse
from moorage_proto.methods import Method
from moorage_sdk.errors import typed
from moorage_sdk.worker.link import LinkThread

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class Exchange:
    """What the link's thread and the plugin's threads share about one call.

    The link's loop calls ``receive_item`` and ``receive_done``; the plugin's side waits until something changed and
    takes it. Waiters are woken by callbacks, so that a thread and a coroutine wait on the same thing.
    """

    def __init__(self, thread: LinkThread) -> None:
        self._thread = thread
        self._taken = 0
        # Credit goes back in portions: each handover to the link's loop costs more than a small item.
        self._portion = thread.link.limits.initial_credit_bytes // 8
        self._lock = threading.Lock()
        self._wakers: List[Callable[[], None]] = []
        self._items: Deque[bytes] = deque()
        self.over = False
        self.sendable = False
        self.reply: Optional[bytes] = None
        self.error: Optional[CallError] = None
        #: Set in the link's loop when the call starts.
        self.call: Optional[ClientCall] = None

    # In the link's loop

    def receive_item(self, data: bytes) -> None:
        self._items.append(data)
        self._announce()

    def receive_done(self, reply: Optional[bytes], error: Optional[CallError]) -> None:
        self.reply, self.error, self.over = reply, error, True
        self._announce()

    def watch_credit(self) -> None:
        """Tells the plugin's side once when an item may be sent."""
        if self.call is not None:
            self.call.when_sendable(self._set_sendable)

    def _set_sendable(self) -> None:
        self.sendable = True
        self._announce()

    def _send(self, data: bytes) -> None:
        call = self.call
        if call is None:
            return
        try:
            call.send_item(data)
        except CallError as error:
            call.cancel()
            self.error = error
        self.watch_credit()

    def _half_close(self) -> None:
        if self.call is not None:
            self.call.half_close()

    def _consumed(self, spent: int) -> None:
        if self.call is not None:
            self.call.consumed(spent)

    def _cancel(self) -> None:
        if self.call is not None:
            self.call.cancel()

    # On the plugin's side

    def send(self, data: bytes) -> None:
        """One item; the caller has waited until ``sendable``."""
        self.sendable = False
        self.post(self._send, data)

    def half_close(self) -> None:
        self.post(self._half_close)

    def cancel(self) -> None:
        self.post(self._cancel)

    def abandon(self) -> None:
        """Cancels soon, for a finaliser: it may run anywhere, in the middle of the link's own work too."""
        if not self.over:
            with contextlib.suppress(RuntimeError):  # the link's loop has ended, and the call with it
                self._thread.loop.call_soon_threadsafe(self._cancel)

    def take(self) -> Optional[bytes]:
        """The next item that is here, whose credit it gives back; None when there is none."""
        try:
            data = self._items.popleft()
        except IndexError:
            return None
        self._taken += cost(len(data))
        if self._taken >= self._portion:
            self.post(self._consumed, self._taken)
            self._taken = 0
        return data

    def wait(self, ready: Callable[[], bool]) -> None:
        """Blocks the thread."""
        while not ready():
            woken = threading.Event()
            self._on_change(woken.set)
            if not ready():
                woken.wait()

    async def wait_async(self, ready: Callable[[], bool]) -> None:
        """Suspends the coroutine, on whatever loop it runs."""
        loop = asyncio.get_running_loop()
        while not ready():
            woken = loop.create_future()
            self._on_change(_waker(loop, woken))
            if not ready():
                await woken

    def has_news(self) -> bool:
        return bool(self._items) or self.over

    def can_send(self) -> bool:
        return self.sendable or self.over

    def is_over(self) -> bool:
        return self.over

    def raise_error(self) -> None:
        if self.error is not None:
            raise typed(self.error)

    def post(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Runs something in the link's loop. Does nothing once that has ended: the call is over then."""
        try:
            self._thread.post(callback, *arguments)
        except RuntimeError:
            self.over = True

    def _on_change(self, waker: Callable[[], None]) -> None:
        with self._lock:
            self._wakers.append(waker)

    def _announce(self) -> None:
        with self._lock:
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()


class LinkStream(Generic[Reply]):
    """A ReplyStream over the link. A stream that nobody holds any more is closed."""

    def __init__(self, exchange: Exchange, method: Method[Any, Reply]) -> None:
        self._exchange = exchange
        self._method = method

    def __iter__(self) -> Iterator[Reply]:
        return self

    def __next__(self) -> Reply:
        self._exchange.wait(self._exchange.has_news)
        data = self._exchange.take()
        if data is None:
            self._exchange.raise_error()
            raise StopIteration
        return parse_typed(self._method, data)

    def __aiter__(self) -> AsyncIterator[Reply]:
        return self

    async def __anext__(self) -> Reply:
        await self._exchange.wait_async(self._exchange.has_news)
        data = self._exchange.take()
        if data is None:
            self._exchange.raise_error()
            raise StopAsyncIteration
        return parse_typed(self._method, data)

    def close(self) -> None:
        """Cancels what has not arrived. Idempotent; from any thread."""
        if not self._exchange.over:
            self._exchange.cancel()

    def __del__(self) -> None:
        self._exchange.abandon()


class LinkConversation(LinkStream[Reply], Generic[Request, Reply]):
    """A Conversation over the link."""

    def send(self, request: Request) -> bool:
        self._exchange.wait(self._exchange.can_send)
        return self._send(request)

    async def send_async(self, request: Request) -> bool:
        await self._exchange.wait_async(self._exchange.can_send)
        return self._send(request)

    def half_close(self) -> None:
        if not self._exchange.over:
            self._exchange.half_close()

    def _send(self, request: Request) -> bool:
        if self._exchange.over:
            self._exchange.raise_error()
            return False
        self._exchange.send(request.SerializeToString())
        return True


def parse_typed(method: Method[Any, Reply], data: bytes) -> Reply:
    try:
        return parse(method, data)
    except CallError as error:
        raise typed(error) from None


def _waker(loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> Callable[[], None]:
    def settle() -> None:
        if not woken.done():
            woken.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            return  # that loop has ended, and its coroutines with it

    return wake
