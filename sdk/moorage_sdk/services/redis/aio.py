"""redis-py's asyncio client over the host."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
from typing import Any, Iterable, List, Optional, Sequence

import redis.asyncio
from redis.asyncio.connection import Connection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from moorage_proto import redis_pb2
from moorage_proto.redis_limits import Command
from moorage_sdk.errors import MoorageError
from moorage_sdk.services.redis.errors import check, from_call, is_reply
from moorage_sdk.services.redis.options import pool_options
from moorage_sdk.services.redis.wire import (
    CHANGE,
    EXECUTE,
    SUBSCRIBE,
    Talk,
    Wire,
    from_wire,
    is_subscription,
    split_name,
    to_bytes,
    to_wire,
)

#: Deliveries that wait to be read; more wait in the host, and beyond that the server ends the subscription.
MAX_DELIVERIES = 1_000


def pool(wire: Wire) -> Any:
    return ConnectionPool(connection_class=BrokeredConnection, **pool_options(Connection, Retry, wire))


def client(pool: Any) -> Any:
    return redis.asyncio.Redis(connection_pool=pool)


class BrokeredConnection(Connection):
    """What redis-py's pool makes instead of a socket. Commands are sent when an answer is first asked for."""

    def __init__(self, *, wire: Wire, **options: Any) -> None:
        # Its own base connects to nothing before it is told to, and is not.
        super().__init__(**options)  # type: ignore[no-untyped-call, unused-ignore]  # by version
        self._wire = wire
        self._talk = Talk(wire)
        self._subscription: Optional[Subscription] = None
        self._is_open = False
        self._failure: Optional[BaseException] = None

    def __del__(self, *_: Any) -> None:
        """There is no socket to close; what the host holds ends with the scope."""

    @property
    def is_connected(self) -> bool:
        return self._is_open

    def repr_pieces(self) -> List[Any]:
        return [("server", self._wire.backend)]

    async def connect(self) -> None:
        if self._is_open:
            return
        failure, self._failure = self._failure, None
        if failure is not None:
            # Where a subscription was not accepted, redis-py connects anew to subscribe again, without end.
            raise failure
        check(self._wire)
        self._is_open = True
        for reference in list(self._connect_callbacks):
            # A subscription renews itself.
            callback = reference() if callable(reference) else None
            renewed = callback(self) if callback else None
            if inspect.isawaitable(renewed):
                await renewed

    async def connect_check_health(self, *_: Any, **__: Any) -> None:
        await self.connect()

    async def disconnect(self, *_: Any, **__: Any) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._should_reconnect = False
        self._talk.end()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.close()

    async def check_health(self) -> None:
        """The host's."""

    def pack_command(self, *args: Any) -> List[Any]:
        encode: Any = self.encoder.encode
        return [tuple(to_bytes(encode(part)) for part in split_name(args))]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> List[Any]:
        return [packed for command in commands for packed in self.pack_command(*command)]

    async def send_command(self, *args: Any, **_: Any) -> None:
        await self.send_packed_command(self.pack_command(*args))

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: ARG002 - redis-py's name
        await self.connect()
        if self._subscription is not None:
            await self._subscription.change(command)
        elif len(command) == 1 and is_subscription(command[0]):
            try:
                self._subscription = await Subscription.opened(self._wire, command)
            except RedisConnectionError as error:
                self._failure = error
                raise
        else:
            self._talk.ask(command)

    async def can_read(self, *_: Any, **__: Any) -> bool:
        if self._subscription is not None:
            return self._subscription.has_delivery()
        return bool(self._talk.answers)

    async def can_read_destructive(self) -> bool:
        return await self.can_read()

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: Optional[float] = None,
        *,
        disconnect_on_error: bool = True,
        push_request: Optional[bool] = False,  # noqa: ARG002 - of version 3 of the protocol
    ) -> Any:
        """With a ``timeout``, in seconds, None when it is over."""
        try:
            reply = await asyncio.wait_for(self._next(), None if timeout == math.inf else timeout)
        except asyncio.TimeoutError as late:
            if isinstance(late, MoorageError):
                raise from_call(late) from None
            return None
        except MoorageError as failure:
            error = from_call(failure)
            if disconnect_on_error and not is_reply(error):
                await self.disconnect()
            raise error from None
        except BaseException:
            if disconnect_on_error:
                await self.disconnect()
            raise
        value = from_wire(reply, bytes if disable_decoding else self.encoder.decode, self._parser.parse_error)
        if isinstance(value, (ResponseError, RedisConnectionError)):
            raise value
        return value

    async def _next(self) -> redis_pb2.RedisReply:
        if self._subscription is not None:
            return await self._subscription.take()
        if not self._talk.answers:
            await self._flush()
        if not self._talk.answers:
            raise RedisConnectionError("There is no answer to read: nothing was asked on this connection.")
        return self._talk.next_answer()

    async def _flush(self) -> None:
        while (request := self._talk.next_request()) is not None:
            try:
                self._wire.check()
                with self._wire.entered():
                    # redis-py's socket_timeout.
                    reply = await self._wire.channel.call_async(
                        EXECUTE, request, timeout=getattr(self, "socket_timeout", None)
                    )
            except MoorageError as error:
                if not is_reply(from_call(error)):
                    raise
                self._talk.fail(error)
            else:
                self._talk.take(reply)


class Subscription:
    """One stream of deliveries, read by a task of its own, as redis-py wants to wait for some time only."""

    def __init__(self, wire: Wire, commands: Sequence[Command]) -> None:
        check(wire)
        self._wire = wire
        self._deliveries: asyncio.Queue[Any] = asyncio.Queue(MAX_DELIVERIES)
        self._handle: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with wire.entered():
            self._stream = wire.channel.stream(
                SUBSCRIBE, redis_pb2.SubscribeRequest(backend=wire.backend, commands=to_wire(commands))
            )
        self._reading = asyncio.create_task(self._read(), name=f"redis {wire.backend} subscription")

    @classmethod
    async def opened(cls, wire: Wire, commands: Sequence[Command]) -> Subscription:
        """When the host has accepted it. Raises redis-py's exceptions."""
        made = cls(wire, commands)
        try:
            await made._handle
        except BaseException:
            await made.close()
            raise
        return made

    async def change(self, commands: Sequence[Command]) -> None:
        request = redis_pb2.ChangeSubscriptionRequest(subscription=self._handle.result(), commands=to_wire(commands))
        check(self._wire)
        try:
            with self._wire.entered():
                await self._wire.channel.call_async(CHANGE, request)
        except MoorageError as error:
            raise from_call(error) from None

    def has_delivery(self) -> bool:
        return not self._deliveries.empty()

    async def take(self) -> redis_pb2.RedisReply:
        delivery = await self._deliveries.get()
        if isinstance(delivery, BaseException):
            # It stays so: who asks again is told again.
            self._deliveries.put_nowait(delivery)
            raise delivery
        reply: redis_pb2.RedisReply = delivery
        return reply

    async def close(self) -> None:
        self._stream.close()
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((self._reading,))
        if self._handle.done() and not self._handle.cancelled():
            self._handle.exception()

    async def _read(self) -> None:
        error: BaseException
        try:
            async for delivery in self._stream:
                if delivery.HasField("reply"):
                    await self._deliveries.put(delivery.reply)
                else:
                    self._handle.set_result(delivery.subscription)
            error = RedisConnectionError("The host has ended the subscription.")
        except MoorageError as failure:
            error = from_call(failure)
        except Exception as problem:  # noqa: BLE001 - raised again where it is read
            error = problem
        if self._handle.done():
            await self._deliveries.put(error)
        else:
            self._handle.set_exception(error)
