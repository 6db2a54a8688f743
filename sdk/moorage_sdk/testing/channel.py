"""The channel of a test: calls stay in the process, but cross as real protobuf bytes and pass the gate."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import threading
from typing import (
    Any,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Generic,
    Iterable,
    Iterator,
    Optional,
    TypeVar,
    Union,
)

from google.protobuf.message import Message

from moorage_proto.errors import CallError
from moorage_proto.methods import Method
from moorage_sdk import scope
from moorage_sdk.errors import typed
from moorage_sdk.testing.conversation import LocalConversation
from moorage_sdk.testing.gate import Gate, Passage

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class LocalChannel:
    """Implements ``moorage_sdk.channel.Channel``. Calls from several threads are answered one after another."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._one_at_a_time = threading.RLock()
        gate.aside = self._let_in

    def call(self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None) -> Reply:  # noqa: ARG002 - fakes answer at once
        try:
            with self._one_at_a_time:
                passage = self._gate.enter(method, scope.current().id)
                reply: Reply = passage.handle(_checked(passage, request))
                passage.check_reply()
                return _crossed(reply)
        except CallError as error:
            raise typed(error) from None

    async def call_async(
        self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None
    ) -> Reply:
        # As over a link, other tasks come to their turn meanwhile.
        await asyncio.sleep(0)
        if self._gate.waits(method):
            reply: Reply = await _beside(self.call, method, request)
            return reply
        return self.call(method, request, timeout=timeout)

    def submit(
        self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None
    ) -> concurrent.futures.Future[Reply]:
        future: concurrent.futures.Future[Reply] = concurrent.futures.Future()
        try:
            future.set_result(self.call(method, request, timeout=timeout))
        except Exception as error:  # noqa: BLE001 - whoever waits for the future is told
            future.set_exception(error)
        return future

    def stream(
        self,
        method: Method[Request, Reply],
        request: Request,
        *,
        timeout: Optional[float] = None,  # noqa: ARG002 - fakes answer at once
    ) -> LocalStream[Reply]:
        over = threading.Event()
        replies = self._replies(method, request, scope.current().id, over)
        return LocalStream(replies, over, waits=self._gate.waits(method))

    def send_all(
        self,
        method: Method[Request, Reply],
        requests: Iterable[Request],
        *,
        timeout: Optional[float] = None,  # noqa: ARG002 - fakes answer at once
    ) -> Reply:
        try:
            with self._one_at_a_time:
                passage = self._gate.enter(method, scope.current().id)
                reply: Reply = passage.handle(_checked(passage, request) for request in requests)
                passage.check_reply()
                return _crossed(reply)
        except CallError as error:
            raise typed(error) from None

    async def send_all_async(
        self,
        method: Method[Request, Reply],
        requests: Union[Iterable[Request], AsyncIterable[Request]],
        *,
        timeout: Optional[float] = None,
    ) -> Reply:
        await asyncio.sleep(0)
        if isinstance(requests, AsyncIterable):
            requests = [request async for request in requests]
        return self.send_all(method, requests, timeout=timeout)

    def converse(
        self,
        method: Method[Request, Reply],
        *,
        timeout: Optional[float] = None,  # noqa: ARG002 - fakes answer at once
    ) -> LocalConversation[Request, Reply]:
        scope_id = scope.current().id
        return LocalConversation(lambda requests: self._answers(method, requests, scope_id), method.path)

    def _answers(
        self, method: Method[Request, Reply], requests: Iterator[Request], scope_id: str
    ) -> Generator[Reply, None, None]:
        """In the fake's thread, which lets others in only where it waits."""
        with self._one_at_a_time:
            passage = self._gate.enter(method, scope_id)
            for reply in passage.handle(self._arriving(passage, requests)):
                passage.check_reply()
                with self._let_in():
                    yield _crossed(reply)

    def _arriving(self, passage: Passage, requests: Iterator[Request]) -> Iterator[Request]:
        while True:
            with self._let_in():
                request = next(requests, None)
            if request is None:
                return
            yield _checked(passage, request)

    @contextlib.contextmanager
    def _let_in(self) -> Iterator[None]:
        self._one_at_a_time.release()
        try:
            yield
        finally:
            self._one_at_a_time.acquire()

    def _replies(
        self, method: Method[Request, Reply], request: Request, scope_id: str, over: threading.Event
    ) -> Generator[Reply, None, None]:
        try:
            with self._one_at_a_time:
                passage = self._gate.enter(method, scope_id, over)
                replies = iter(passage.handle(_checked(passage, request)))
            while True:
                with self._one_at_a_time:
                    reply = next(replies, None)
                    if reply is None:
                        return
                    passage.check_reply()
                yield _crossed(reply)
        except CallError as error:
            raise typed(error) from None


class LocalStream(Generic[Reply]):
    """Implements ``moorage_sdk.channel.ReplyStream``."""

    def __init__(self, replies: Generator[Reply, None, None], over: threading.Event, *, waits: bool = False) -> None:
        self._replies = replies
        self._over = over
        self._waits = waits

    def __iter__(self) -> Iterator[Reply]:
        return self._replies

    async def __aiter__(self) -> AsyncIterator[Reply]:
        while True:
            await asyncio.sleep(0)
            reply = await _beside(next, self._replies, None) if self._waits else next(self._replies, None)
            if reply is None:
                return
            yield reply

    def close(self) -> None:
        self._over.set()
        # A fake that waits, in another thread, sees that it is over.
        with contextlib.suppress(ValueError):
            self._replies.close()


async def _beside(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a thread that nobody waits for, should it not end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: Optional[BaseException]) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = context.run(function, *arguments)
        except BaseException as problem:  # noqa: BLE001 - raised again where it is awaited
            error = problem
        with contextlib.suppress(RuntimeError):  # the loop has ended, and who waited with it
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="fake", daemon=True).start()
    return await done


def _checked(passage: Passage, request: Request) -> Request:
    arrived = _crossed(request)
    passage.examine(arrived)
    return arrived


def _crossed(message: Reply) -> Reply:
    """What is on the other side after it went over the wire."""
    return type(message).FromString(message.SerializeToString())
