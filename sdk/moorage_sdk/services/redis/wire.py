"""What sync and async connections have in common: everything but the waiting. Knows nothing of redis-py."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any, Callable, Deque, Iterator, List, Optional, Sequence, Union

from moorage_proto import redis_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.errors import Reason, Status
from moorage_proto.methods import Method, service_methods
from moorage_proto.redis_limits import MAX_ARGUMENTS, MAX_COMMANDS, Command
from moorage_sdk import scope as scopes
from moorage_sdk.channel import Channel
from moorage_sdk.errors import MoorageError, ScopeClosed
from moorage_sdk.scope import Scope

#: Longer pipelines than MAX_COMMANDS go in several calls, on one connection where a transaction is open; so does more
#: than this.
MAX_BYTES = 8 * 1024 * 1024

_METHODS = service_methods(redis_pb2, "RedisService")
EXECUTE: Method[redis_pb2.ExecuteCommandsRequest, redis_pb2.ExecuteCommandsReply] = _METHODS["execute"]
RELEASE: Method[redis_pb2.ReleaseRequest, redis_pb2.ReleaseReply] = _METHODS["release"]
SUBSCRIBE: Method[redis_pb2.SubscribeRequest, redis_pb2.Delivery] = _METHODS["subscribe"]
CHANGE: Method[redis_pb2.ChangeSubscriptionRequest, redis_pb2.ChangeSubscriptionReply] = _METHODS["change_subscription"]

_SUBSCRIPTION = frozenset(
    {b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"}
)


class Wire:
    """The way to one server of the host, in one scope."""

    def __init__(self, channel: Channel, backend: str, scope: Scope) -> None:
        self.channel = channel
        self.backend = backend or MAIN_BACKEND
        self._scope = scope
        self.sealed = False

    def seal(self) -> None:
        """The scope ends: the host gives up what it holds for it by itself."""
        self.sealed = True

    def check(self) -> None:
        """Raises ScopeClosed."""
        if self.sealed:
            raise ScopeClosed(
                Status.FAILED_PRECONDITION,
                Reason.SCOPE_CLOSED,
                "This Redis client belongs to an execution that has ended; ask for one in each task.",
            )

    def entered(self) -> contextlib.AbstractContextManager[Any]:
        """Calls made in it are the scope's, whatever thread they come from."""
        return scopes.entered(self._scope)

    def release(self, connection: int) -> None:
        """Without waiting, and whatever happens: the end of the scope does the same."""
        if connection and not self.sealed:
            with contextlib.suppress(Exception), self.entered():
                self.channel.submit(RELEASE, redis_pb2.ReleaseRequest(connection=connection))


class Talk:
    """What one connection has asked and not yet sent, and has been answered and not yet read."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._asked: Deque[Command] = deque()
        self._sent = 0
        #: RedisReply messages, or the MoorageErrors of calls that failed.
        self.answers: Deque[Union[redis_pb2.RedisReply, MoorageError]] = deque()
        #: The host's connection that a WATCH or MULTI is open on; 0: none.
        self.handle = 0

    def ask(self, commands: Sequence[Command]) -> None:
        self._asked.extend(commands)

    def next_request(self) -> Optional[redis_pb2.ExecuteCommandsRequest]:
        """As much of what was asked as one call takes; None: nothing."""
        commands: List[Command] = []
        arguments = size = 0
        while self._asked and len(commands) < MAX_COMMANDS:
            ahead = self._asked[0]
            arguments += len(ahead)
            size += sum(map(len, ahead))
            if commands and (arguments > MAX_ARGUMENTS or size > MAX_BYTES):
                break
            commands.append(self._asked.popleft())
        if not commands:
            return None
        self._sent = len(commands)
        return redis_pb2.ExecuteCommandsRequest(
            backend=self._wire.backend, commands=to_wire(commands), connection=self.handle
        )

    def take(self, reply: redis_pb2.ExecuteCommandsReply) -> None:
        self.answers.extend(reply.replies)
        self.handle = reply.connection

    def fail(self, error: MoorageError) -> None:
        """The call failed as a whole, and what comes after it is not sent: each of the commands is told."""
        self.answers.extend([error] * (self._sent + len(self._asked)))
        self._asked.clear()

    def next_answer(self) -> redis_pb2.RedisReply:
        """One that is there. Raises the MoorageError of a call that failed."""
        answer = self.answers.popleft()
        if isinstance(answer, MoorageError):
            raise answer
        return answer

    def end(self) -> None:
        """The connection is closed."""
        self._wire.release(self.handle)
        self.handle = 0
        self._asked.clear()
        self.answers.clear()


def to_wire(commands: Sequence[Command]) -> List[redis_pb2.RedisCommand]:
    return [redis_pb2.RedisCommand(arguments=command) for command in commands]


def is_subscription(command: Command) -> bool:
    return command[0].upper() in _SUBSCRIPTION


def split_name(arguments: Sequence[Any]) -> Iterator[Any]:
    """redis-py writes the names of some commands with their subcommand: "CLIENT LIST"."""
    name = arguments[0]
    yield from name.split() if isinstance(name, (str, bytes)) else (name,)
    yield from arguments[1:]


def to_bytes(encoded: Any) -> bytes:
    return encoded if isinstance(encoded, bytes) else bytes(encoded)


def from_wire(reply: redis_pb2.RedisReply, decode: Callable[[bytes], Any], error: Callable[[str], Any]) -> Any:
    """As redis-py's own parser would return it."""
    kind = reply.WhichOneof("kind")
    if kind == "data":
        return decode(reply.data)
    if kind == "integer":
        return reply.integer
    if kind == "array":
        return [from_wire(item, decode, error) for item in reply.array.items]
    if kind == "error":
        return error(reply.error)
    return None
