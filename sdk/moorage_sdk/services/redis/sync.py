"""redis-py's sync client over the host."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Deque, Iterable, List, Optional, Sequence

import redis
from redis.connection import Connection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.retry import Retry

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

_UNSET = object()


def pool(wire: Wire) -> Any:
    return ConnectionPool(connection_class=BrokeredConnection, **pool_options(Connection, Retry, wire))


def client(pool: Any) -> Any:
    return redis.Redis(connection_pool=pool)


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

    @property
    def is_connected(self) -> bool:
        return self._is_open

    def repr_pieces(self) -> List[Any]:
        return [("server", self._wire.backend)]

    def connect(self) -> None:
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
            callback = reference()
            if callback:
                callback(self)

    def connect_check_health(self, *_: Any, **__: Any) -> None:
        self.connect()

    def disconnect(self, *_: Any, **__: Any) -> None:
        if not getattr(self, "_is_open", False):
            return
        self._is_open = False
        self._should_reconnect = False
        self._talk.end()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def check_health(self) -> None:
        """The host's."""

    def pack_command(self, *args: Any) -> List[Any]:
        encode: Any = self.encoder.encode
        return [tuple(to_bytes(encode(part)) for part in split_name(args))]

    def pack_commands(self, commands: Iterable[Sequence[Any]]) -> List[Any]:
        return [packed for command in commands for packed in self.pack_command(*command)]

    def send_command(self, *args: Any, **_: Any) -> None:
        self.send_packed_command(self.pack_command(*args))

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: ARG002 - redis-py's name
        self.connect()
        if self._subscription is not None:
            self._subscription.change(command)
        elif len(command) == 1 and is_subscription(command[0]):
            try:
                self._subscription = Subscription(self._wire, command)
            except RedisConnectionError as error:
                self._failure = error
                raise
        else:
            self._talk.ask(command)

    def can_read(self, timeout: Optional[float] = 0) -> bool:
        self.connect()
        if self._subscription is not None:
            return self._subscription.wait(timeout)
        return bool(self._talk.answers)

    def read_response(
        self,
        disable_decoding: bool = False,
        *,
        disconnect_on_error: bool = True,
        push_request: bool = False,  # noqa: ARG002 - of version 3 of the protocol
        timeout: Any = _UNSET,
    ) -> Any:
        try:
            reply = self._next(None if timeout is _UNSET else timeout)
        except MoorageError as failure:
            error = from_call(failure)
            if disconnect_on_error and not is_reply(error):
                self.disconnect()
            raise error from None
        except BaseException:
            if disconnect_on_error:
                self.disconnect()
            raise
        value = from_wire(reply, bytes if disable_decoding else self.encoder.decode, self._parser.parse_error)
        if isinstance(value, (ResponseError, RedisConnectionError)):
            raise value
        return value

    def _next(self, timeout: Optional[float]) -> redis_pb2.RedisReply:
        if self._subscription is not None:
            return self._subscription.take(timeout)
        if not self._talk.answers:
            self._flush()
        if not self._talk.answers:
            raise RedisConnectionError("There is no answer to read: nothing was asked on this connection.")
        return self._talk.next_answer()

    def _flush(self) -> None:
        while (request := self._talk.next_request()) is not None:
            try:
                self._wire.check()
                with self._wire.entered():
                    # redis-py's socket_timeout.
                    reply = self._wire.channel.call(EXECUTE, request, timeout=getattr(self, "socket_timeout", None))
            except MoorageError as error:
                if not is_reply(from_call(error)):
                    raise
                self._talk.fail(error)
            else:
                self._talk.take(reply)


class Subscription:
    """One stream of deliveries, read by a thread of its own, as redis-py wants to wait for some time only."""

    def __init__(self, wire: Wire, commands: Sequence[Command]) -> None:
        """Returns when the host has accepted it. Raises redis-py's exceptions."""
        self._wire = wire
        self._changed = threading.Condition()
        self._deliveries: Deque[redis_pb2.RedisReply] = deque()
        self._handle = 0
        self._error: Optional[BaseException] = None
        self._closed = False
        check(wire)
        with wire.entered():
            self._stream = wire.channel.stream(
                SUBSCRIBE, redis_pb2.SubscribeRequest(backend=wire.backend, commands=to_wire(commands))
            )
        threading.Thread(target=self._read, name=f"redis {wire.backend} subscription", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._handle or self._error is not None)
            self._raise_error()

    def change(self, commands: Sequence[Command]) -> None:
        request = redis_pb2.ChangeSubscriptionRequest(subscription=self._handle, commands=to_wire(commands))
        check(self._wire)
        try:
            with self._wire.entered():
                self._wire.channel.call(CHANGE, request)
        except MoorageError as error:
            raise from_call(error) from None

    def wait(self, timeout: Optional[float]) -> bool:
        """Whether there is something to take."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._deliveries) or self._error is not None, timeout)

    def take(self, timeout: Optional[float]) -> redis_pb2.RedisReply:
        if not self.wait(timeout):
            raise redis.TimeoutError(f"Nothing was delivered in {timeout:g} s.")
        with self._changed:
            if not self._deliveries:
                self._raise_error()
            self._changed.notify_all()
            return self._deliveries.popleft()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._stream.close()

    def _read(self) -> None:
        error: BaseException
        try:
            for delivery in self._stream:
                if not self._keep(delivery):
                    return
            error = RedisConnectionError("The host has ended the subscription.")
        except MoorageError as failure:
            error = from_call(failure)
        except Exception as problem:  # noqa: BLE001 - raised again where it is read
            error = problem
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _keep(self, delivery: redis_pb2.Delivery) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._deliveries) < MAX_DELIVERIES)
            if delivery.HasField("reply"):
                self._deliveries.append(delivery.reply)
            else:
                self._handle = delivery.subscription
            self._changed.notify_all()
            return not self._closed

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
