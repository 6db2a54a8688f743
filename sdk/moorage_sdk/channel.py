"""The way from plugin code to the host. The worker's channel crosses the link; the testing kit's stays in process."""

from __future__ import annotations

import concurrent.futures
from typing import AsyncIterable, AsyncIterator, Generic, Iterable, Iterator, Optional, Protocol, TypeVar, Union

from google.protobuf.message import Message

from moorage_proto.methods import Method

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Item = TypeVar("Item", bound=Message, covariant=True)
Sent = TypeVar("Sent", bound=Message, contravariant=True)


class ReplyStream(Protocol, Generic[Item]):
    """Messages as they arrive: iterate with ``for`` from a thread or ``async for`` from a loop, not both."""

    def __iter__(self) -> Iterator[Item]: ...

    def __aiter__(self) -> AsyncIterator[Item]: ...

    def close(self) -> None:
        """Cancels what has not arrived. Idempotent; from any thread."""


class Conversation(ReplyStream[Item], Protocol, Generic[Sent, Item]):
    """A call whose requests and replies both stream. Replies may come before all requests were sent.

    One thread or coroutine sends, one iterates; they need not be the same. A conversation that nobody holds any more
    is closed.
    """

    def send(self, request: Sent) -> bool:
        """Blocks the calling thread while the host has no room. False: the host has ended the call well, and wants no
        more. Raises the error with which it has ended it otherwise.
        """

    async def send_async(self, request: Sent) -> bool:
        """As ``send``, for coroutines on any event loop."""

    def half_close(self) -> None:
        """No request follows; replies still do."""


class Channel(Protocol):
    """Makes calls in the current scope (``moorage_sdk.scope``). Every method raises ``moorage_sdk.errors`` classes."""

    def call(self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None) -> Reply:
        """Blocks the calling thread, which must not be the link's own. ``timeout`` in seconds."""

    async def call_async(
        self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None
    ) -> Reply:
        """For coroutines on any event loop."""

    def submit(
        self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None
    ) -> concurrent.futures.Future[Reply]:
        """Starts the call and returns at once, from any thread. Calls submitted by one thread leave in that order.

        Cancelling the future cancels the call. The future's callbacks run in the link's thread and must not block.
        """

    def stream(
        self, method: Method[Request, Reply], request: Request, *, timeout: Optional[float] = None
    ) -> ReplyStream[Reply]:
        """A call whose replies stream."""

    def send_all(
        self, method: Method[Request, Reply], requests: Iterable[Request], *, timeout: Optional[float] = None
    ) -> Reply:
        """A call whose requests stream; blocks. The iterable is consumed as credit allows."""

    async def send_all_async(
        self,
        method: Method[Request, Reply],
        requests: Union[Iterable[Request], AsyncIterable[Request]],
        *,
        timeout: Optional[float] = None,
    ) -> Reply: ...

    def converse(
        self, method: Method[Request, Reply], *, timeout: Optional[float] = None
    ) -> Conversation[Request, Reply]:
        """A call whose requests and replies both stream."""


def current() -> Channel:
    """The channel of this process; set once by the bootstrap or the testing kit.

    Raises RuntimeError outside a worker or a test.
    """
    if _current is None:
        raise RuntimeError(
            "there is no host here: this code runs neither in a Moorage worker nor in a test with the `moorage` fixture"
        )
    return _current


def install(channel: Optional[Channel]) -> None:
    """For the bootstrap and the testing kit."""
    global _current
    _current = channel


_current: Optional[Channel] = None
