"""The Channel of a worker: plugin code on any thread or event loop calls the host over the link."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from typing import Any, AsyncIterable, AsyncIterator, Callable, Generic, Iterable, Optional, Tuple, TypeVar, Union

from google.protobuf.message import Message

from moorage_proto.errors import CallError
from moorage_proto.link import ClientCall
from moorage_proto.link.failures import link_closed
from moorage_proto.methods import Method
from moorage_sdk import scope
from moorage_sdk.errors import MoorageError, typed
from moorage_sdk.worker.handover import Handover
from moorage_sdk.worker.link import LinkThread
from moorage_sdk.worker.stream import Exchange, LinkConversation, LinkStream, parse_typed

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class LinkChannel:
    """Implements ``moorage_sdk.channel.Channel``. Calls belong to the caller's current scope."""

    def __init__(self, thread: LinkThread) -> None:
        self._thread = thread
        #: Of each thread with an event loop: that loop, and the way back to it.
        self._returns = threading.local()

    def call(self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None) -> Reply:
        self._refuse_to_block(method)
        pending = _Blocked()
        self._start(method, request, timeout, pending)
        try:
            pending.answered.acquire()
        except BaseException:
            # KeyboardInterrupt and its kind: nobody waits for the answer any more.
            self._cancel(pending)
            raise
        if pending.error is not None:
            raise typed(pending.error)
        assert pending.reply is not None
        return parse_typed(method, pending.reply)

    async def call_async(
        self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None
    ) -> Reply:
        pending = _Awaited(*self._way_back())
        self._start(method, request, timeout, pending)
        try:
            reply, error = await pending.answered
        except asyncio.CancelledError:
            self._cancel(pending)
            raise
        if error is not None:
            raise typed(error)
        return parse_typed(method, reply)

    def submit(
        self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None
    ) -> concurrent.futures.Future[Reply]:
        pending = _Submitted(method)

        def cancel_with(future: concurrent.futures.Future[Reply]) -> None:
            if future.cancelled():
                self._cancel(pending)

        pending.future.add_done_callback(cancel_with)
        self._start(method, request, timeout, pending, ordered=True)
        return pending.future

    def stream(
        self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None
    ) -> LinkStream[Reply]:
        return LinkStream(self._exchange(method, request.SerializeToString(), timeout), method)

    def send_all(
        self, method: Method[Request, Reply], requests: Iterable[Request], *, timeout: Optional[float] = None
    ) -> Reply:
        self._refuse_to_block(method)
        exchange = self._exchange(method, b"", timeout)
        try:
            for request in requests:
                exchange.wait(exchange.can_send)
                if exchange.over:
                    break
                exchange.send(request.SerializeToString())
            exchange.half_close()
            exchange.wait(exchange.is_over)
        except BaseException:
            exchange.cancel()
            raise
        return _result(exchange, method)

    async def send_all_async(
        self,
        method: Method[Request, Reply],
        requests: Union[Iterable[Request], AsyncIterable[Request]],
        *,
        timeout: Optional[float] = None,
    ) -> Reply:
        exchange = self._exchange(method, b"", timeout)
        try:
            async for request in _each(requests):
                await exchange.wait_async(exchange.can_send)
                if exchange.over:
                    break
                exchange.send(request.SerializeToString())
            exchange.half_close()
            await exchange.wait_async(exchange.is_over)
        except BaseException:
            exchange.cancel()
            raise
        return _result(exchange, method)

    def converse(
        self, method: Method[Request, Reply], *, timeout: Optional[float] = None
    ) -> LinkConversation[Request, Reply]:
        return LinkConversation(self._exchange(method, b"", timeout), method)

    def _start(
        self,
        method: Method[Any, Any],
        request: Message,
        timeout: Optional[float],
        pending: _Pending,
        *,
        ordered: bool = False,
    ) -> None:
        """Hands the call to the link's loop, in the scope of the caller."""
        within = scope.current()
        data = request.SerializeToString()
        link = self._thread.link

        def start() -> None:
            pending.call = link.start(
                method.path,
                data,
                pending.done,
                # What must arrive in order stays on the lane of the small calls.
                bulk=method.bulk and not ordered,
                scope=within.id,
                timeout=timeout,
                traceparent=within.traceparent,
                ordered=ordered,
            )

        self._post(start)

    def _exchange(self, method: Method[Any, Any], request: bytes, timeout: Optional[float]) -> Exchange:
        within = scope.current()
        link = self._thread.link
        exchange = Exchange(self._thread)

        def start() -> None:
            exchange.call = link.start(
                method.path,
                request,
                exchange.receive_done,
                bulk=method.bulk,
                scope=within.id,
                timeout=timeout,
                traceparent=within.traceparent,
                on_item=exchange.receive_item if method.server_streaming else None,
                streams_requests=method.client_streaming,
            )
            if method.client_streaming:
                exchange.watch_credit()

        self._post(start)
        return exchange

    def _post(self, start: Callable[[], None]) -> None:
        try:
            self._thread.post(start)
        except RuntimeError:
            raise typed(link_closed("the link to the host has ended; no call can be made any more")) from None

    def _way_back(self) -> Tuple[asyncio.AbstractEventLoop, Callable[..., None]]:
        """The caller's loop, and what runs a callback there from the link's thread."""
        loop = asyncio.get_running_loop()
        if loop is self._thread.loop:
            return loop, _at_once
        if getattr(self._returns, "loop", None) is not loop:
            self._returns.loop = loop
            self._returns.way = Handover(loop)
        return loop, self._returns.way.post

    def _cancel(self, pending: _Pending) -> None:
        with contextlib.suppress(RuntimeError):  # the link's loop has ended, and the call with it
            self._thread.post(pending.cancel)

    def _refuse_to_block(self, method: Method[Any, Any]) -> None:
        if self._thread.is_current():
            raise RuntimeError(
                f"{method.path} was called blocking on the link's own thread, which would wait for itself for ever; "
                "await the asynchronous form there"
            )


class _Pending:
    """Somebody who waits for a single reply; ``done`` and ``cancel`` run in the link's loop."""

    def __init__(self) -> None:
        self.call: Optional[ClientCall] = None

    def done(self, reply: Optional[bytes], error: Optional[CallError]) -> None:
        raise NotImplementedError

    def cancel(self) -> None:
        if self.call is not None:
            self.call.cancel()


class _Blocked(_Pending):
    """A thread, on a lock: cheaper than an event or a future, and interruptible in the main thread."""

    def __init__(self) -> None:
        super().__init__()
        self.reply: Optional[bytes] = None
        self.error: Optional[CallError] = None
        self.answered = threading.Lock()
        self.answered.acquire()

    def done(self, reply: Optional[bytes], error: Optional[CallError]) -> None:
        self.reply, self.error = reply, error
        self.answered.release()


class _Awaited(_Pending):
    """A coroutine on whatever loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, post: Callable[..., None]) -> None:
        super().__init__()
        self._post = post
        self.answered: asyncio.Future[Tuple[Any, Optional[CallError]]] = loop.create_future()

    def done(self, reply: Optional[bytes], error: Optional[CallError]) -> None:
        with contextlib.suppress(RuntimeError):  # that loop has ended, and its coroutines with it
            self._post(self._settle, reply, error)

    def _settle(self, reply: Optional[bytes], error: Optional[CallError]) -> None:
        if not self.answered.done():
            self.answered.set_result((reply, error))


class _Submitted(_Pending, Generic[Reply]):
    """A concurrent future."""

    def __init__(self, method: Method[Any, Reply]) -> None:
        super().__init__()
        self._method = method
        self.future: concurrent.futures.Future[Reply] = concurrent.futures.Future()

    def done(self, reply: Optional[bytes], error: Optional[CallError]) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            if error is not None:
                raise typed(error)
            assert reply is not None
            self.future.set_result(parse_typed(self._method, reply))
        except MoorageError as problem:
            self.future.set_exception(problem)


async def _each(requests: Union[Iterable[Request], AsyncIterable[Request]]) -> AsyncIterator[Request]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def _at_once(callback: Callable[..., Any], *arguments: Any) -> None:
    callback(*arguments)


def _result(exchange: Exchange, method: Method[Any, Reply]) -> Reply:
    exchange.raise_error()
    assert exchange.reply is not None
    return parse_typed(method, exchange.reply)
