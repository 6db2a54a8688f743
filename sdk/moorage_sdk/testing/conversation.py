"""A call of a test whose requests and replies both stream: the fake runs in a thread of its own, beside its caller."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections import deque
from typing import AsyncIterator, Callable, Deque, Generator, Generic, Iterator, List, Optional, TypeVar

from google.protobuf.message import Message

from moorage_proto.errors import CallError
from moorage_sdk.errors import typed

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)

#: The fake: from the requests as they arrive to its replies.
Answer = Callable[[Iterator[Request]], Generator[Reply, None, None]]

#: Replies that wait before the fake waits for somebody to take them.
MAX_WAITING_REPLIES = 16


class LocalConversation(Generic[Request, Reply]):
    """Implements ``moorage_sdk.channel.Conversation``. Requests wait in memory, so sending never blocks."""

    def __init__(self, answer: Answer[Request, Reply], name: str) -> None:
        self._stage = _Stage(answer)
        threading.Thread(target=self._stage.play, name=name, daemon=True).start()

    def send(self, request: Request) -> bool:
        return self._stage.send(request)

    async def send_async(self, request: Request) -> bool:
        # As over a link, other tasks come to their turn meanwhile.
        await asyncio.sleep(0)
        return self._stage.send(request)

    def half_close(self) -> None:
        self._stage.half_close()

    def __iter__(self) -> Iterator[Reply]:
        return self

    def __next__(self) -> Reply:
        while True:
            news = self._stage.news()
            if news is None:
                break
            news.result()
        reply = self._stage.take()
        if reply is None:
            raise StopIteration
        return reply

    def __aiter__(self) -> AsyncIterator[Reply]:
        return self

    async def __anext__(self) -> Reply:
        await asyncio.sleep(0)
        while True:
            news = self._stage.news()
            if news is None:
                break
            await asyncio.wrap_future(news)
        reply = self._stage.take()
        if reply is None:
            raise StopAsyncIteration
        return reply

    def close(self) -> None:
        self._stage.close()

    def __del__(self) -> None:
        self._stage.close()


class _Stage(Generic[Request, Reply]):
    """What the caller and the fake's thread share."""

    def __init__(self, answer: Answer[Request, Reply]) -> None:
        self._answer = answer
        self._changed = threading.Condition()
        self._requests: Deque[Request] = deque()
        self._replies: Deque[Reply] = deque()
        self._waiting: List[concurrent.futures.Future[None]] = []
        self._half_closed = False
        self._closed = False
        self._over = False
        self._error: Optional[BaseException] = None

    # The caller's side

    def send(self, request: Request) -> bool:
        with self._changed:
            if self._over or self._closed:
                self._raise_error()
                return False
            self._requests.append(request)
            self._changed.notify_all()
        return True

    def half_close(self) -> None:
        with self._changed:
            self._half_closed = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._announce()

    def news(self) -> Optional[concurrent.futures.Future[None]]:
        """None: something can be taken. Otherwise done when it is worth looking again."""
        with self._changed:
            if self._replies or self._over or self._closed:
                return None
            waiting: concurrent.futures.Future[None] = concurrent.futures.Future()
            self._waiting.append(waiting)
            return waiting

    def take(self) -> Optional[Reply]:
        """None: there are no more. Raises what ended the call."""
        with self._changed:
            if self._replies and not self._closed:
                self._changed.notify_all()
                return self._replies.popleft()
            self._raise_error()
            return None

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    # The fake's thread

    def play(self) -> None:
        error: Optional[BaseException] = None
        try:
            with contextlib.closing(self._answer(self._arriving())) as replies:
                for reply in replies:
                    self._give(reply)
        except _CallerGone:
            pass
        except CallError as refusal:
            error = typed(refusal)
        except BaseException as problem:  # noqa: BLE001 - raised again where the replies are read
            error = problem
        with self._changed:
            self._error, self._over = error, True
            self._announce()

    def _give(self, reply: Reply) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._replies) < MAX_WAITING_REPLIES)
            if self._closed:
                raise _CallerGone
            self._replies.append(reply)
            self._announce()

    def _arriving(self) -> Iterator[Request]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests or self._half_closed or self._closed)
                if self._closed:
                    raise _CallerGone
                if not self._requests:
                    return
                request = self._requests.popleft()
            yield request

    def _announce(self) -> None:
        self._changed.notify_all()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if each.set_running_or_notify_cancel():
                each.set_result(None)


class _CallerGone(BaseException):
    """Unwinds the fake: nobody waits for its replies any more."""
