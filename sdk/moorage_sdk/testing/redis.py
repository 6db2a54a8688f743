"""Redis for tests: ``moorage.redis.client.set("plays", 3)``; fakeredis behind the same checks as the host's.

Needs the package fakeredis: ``pip install 'moorage-sdk[testing-redis]'``. A plugin that never asks for Redis is tested
without it.
"""

from __future__ import annotations

import importlib
import time
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from moorage_proto import link_pb2, redis_pb2
from moorage_proto.capability import MAIN_BACKEND
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.redis_access import OWN_NAME, Examined, Session
from moorage_proto.redis_decisions import commands_of, decide, decide_subscription, refused
from moorage_proto.redis_limits import Command
from moorage_proto.redis_table import committed_table
from moorage_proto.redis_waiting import waiting_limited, waiting_seconds
from moorage_sdk.testing.base import FakeCaller, FakeScope, Guard

#: Seconds between two looks whether somebody still waits.
LOOK_SECONDS = 0.02

#: Codes of errors that redis-py takes off, by the name of its exception.
_CODES = {
    "ExecAbortError": "EXECABORT",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
}


class FakeRedis:
    """Every server that a test or the plugin names is there, and empty."""

    name = "redis"
    contract = redis_pb2.DESCRIPTOR.services_by_name["RedisService"]
    #: A pop that waits is answered by another call's push.
    waits = True

    def __init__(self) -> None:
        self._servers: Dict[str, FakeServer] = {}
        self._failing: Dict[str, str] = {}

    @property
    def client(self) -> Any:
        """redis-py's client with all rights, to see and prepare what the plugin finds on the server `main`."""
        return self.server().client

    def server(self, backend: str = MAIN_BACKEND) -> FakeServer:
        """One of several: ``moorage.redis.server("cache").client``."""
        if backend not in self._servers:
            self._servers[backend] = FakeServer()
        return self._servers[backend]

    def fail(self, backend: str = MAIN_BACKEND) -> None:
        """From now on the server cannot be reached: the plugin gets redis-py's ConnectionError."""
        self._failing[backend] = "The test said so with moorage.redis.fail"

    def execute(self, caller: FakeCaller, request: redis_pb2.ExecuteCommandsRequest) -> redis_pb2.ExecuteCommandsReply:
        held = _held(caller.scope, request.connection) if request.connection else None
        backend = held.backend if held is not None else request.backend or MAIN_BACKEND
        table = committed_table()
        examined = [decide(_guard(caller), table, command, backend) for command in commands_of(request.commands)]
        self._check(backend)
        connection = held or FakeConnection(self.server(backend), backend, caller.scope)
        try:
            replies = connection.run(caller, examined)
        except BaseException:
            connection.release()
            raise
        if connection.session.is_neutral:
            connection.release()
        return redis_pb2.ExecuteCommandsReply(
            replies=[_to_wire(reply) for reply in replies],
            connection=0 if connection.session.is_neutral else connection.handle,
        )

    def release(self, caller: FakeCaller, request: redis_pb2.ReleaseRequest) -> redis_pb2.ReleaseReply:
        _held(caller.scope, request.connection).release()
        return redis_pb2.ReleaseReply()

    def subscribe(self, caller: FakeCaller, request: redis_pb2.SubscribeRequest) -> Iterator[redis_pb2.Delivery]:
        backend = request.backend or MAIN_BACKEND
        commands = self._decided(caller, backend, commands_of(request.commands))
        self._check(backend)
        connection = FakeConnection(self.server(backend), backend, caller.scope)
        for command in commands:
            connection.send(command)
        return connection.deliveries(caller)

    def change_subscription(
        self, caller: FakeCaller, request: redis_pb2.ChangeSubscriptionRequest
    ) -> redis_pb2.ChangeSubscriptionReply:
        connection = _held(caller.scope, request.subscription)
        for command in self._decided(caller, connection.backend, commands_of(request.commands)):
            connection.send(command)
        return redis_pb2.ChangeSubscriptionReply()

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """The handshake says nothing of it."""

    def close(self) -> None:
        for server in self._servers.values():
            server.client.close()
        self._servers.clear()

    def _decided(self, caller: FakeCaller, backend: str, commands: List[Command]) -> List[Command]:
        guard = _guard(caller)
        guard.require_any(backend)
        for command in commands:
            decide_subscription(guard, command, backend)
        return commands

    def _check(self, backend: str) -> None:
        problem = self._failing.get(backend)
        if problem is not None:
            sentence = f"The Redis server {backend!r} cannot be reached: {problem}."
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, sentence, retryable=True)


class FakeServer:
    """One server, with a client of the test's own."""

    def __init__(self) -> None:
        fakeredis = _fakeredis()
        server = fakeredis.FakeServer(version=(7,))
        options: Any = importlib.import_module("moorage_sdk.services.redis.options")
        version = options.second_version(importlib.import_module("redis").Connection)
        self.client = fakeredis.FakeRedis(server=server, version=(7,), **version)


class FakeConnection:
    """Implements ``Held``: a connection with a WATCH or MULTI open, or a subscription."""

    def __init__(self, server: FakeServer, backend: str, scope: FakeScope) -> None:
        self.backend = backend
        self.session = Session()
        pool = server.client.connection_pool
        self._raw: Any = pool.connection_class(**pool.connection_kwargs)
        self._raw.connect()
        self._scope = scope
        self.handle = scope.hold(self)

    def run(self, caller: FakeCaller, commands: Sequence[Examined]) -> List[Any]:
        session = self.session
        for command in commands:
            session = session.after(command.name)
            if command.is_answered and session.in_multi:
                raise refused("In a transaction, commands about the connection itself are not offered.")
        return [self._answer(caller, command) for command in commands]

    def send(self, command: Command) -> None:
        self._raw.send_packed_command(self._raw.pack_command(*command))

    def deliveries(self, caller: FakeCaller) -> Iterator[redis_pb2.Delivery]:
        yield redis_pb2.Delivery(subscription=self.handle)
        try:
            while not caller.is_over():
                with caller.aside():
                    arrived = self._raw.can_read(LOOK_SECONDS)
                if arrived:
                    yield redis_pb2.Delivery(reply=_to_wire(self._read()))
        finally:
            self.release()

    def finish(self, *, success: bool) -> None:
        """A transaction without its EXEC is forgotten."""

    def release(self) -> None:
        self._scope.drop(self.handle)
        self._raw.disconnect()

    def _answer(self, caller: FakeCaller, command: Examined) -> Any:
        if command.is_answered:
            return f"moorage/{caller.installation}".encode() if command.answer == OWN_NAME else command.answer
        waits = command.blocks and not self.session.in_multi
        self.session = self.session.after(command.name)
        return self._waited(caller, command) if waits else self._asked(command.arguments)

    def _waited(self, caller: FakeCaller, command: Examined) -> Any:
        """In short pieces, so that it ends with the scope."""
        own = waiting_seconds(command)
        if own is None:
            return self._asked(command.arguments)
        command = self._from_now_on(command)
        end = time.monotonic() + own if own else None
        while not caller.is_over():
            left = LOOK_SECONDS if end is None else min(LOOK_SECONDS, max(0.001, end - time.monotonic()))
            arguments = waiting_limited(command, left) or command.arguments
            with caller.aside():
                reply = self._asked(arguments)
            if reply is not None or (end is not None and time.monotonic() >= end):
                return reply
        raise CallError(Status.CANCELLED, Reason.CANCELLED, f"{command.name} was cancelled: its scope has ended.")

    def _from_now_on(self, command: Examined) -> Examined:
        """`$` of XREAD means what came after the whole call began, and not each of its pieces."""
        if command.name != "xread" or b"$" not in command.arguments:
            return command
        words = list(command.arguments)
        begin = next(at for at, word in enumerate(words) if word.lower() == b"streams") + 1
        count = (len(words) - begin) // 2
        for position in range(begin + count, len(words)):
            if words[position] == b"$":
                last = self._asked((b"XREVRANGE", words[position - count], b"+", b"-", b"COUNT", b"1"))
                words[position] = last[0][0] if isinstance(last, list) and last else b"0-0"
        return Examined(command.name, tuple(words), command.needs, blocks=True)

    def _asked(self, arguments: Tuple[bytes, ...]) -> Any:
        self.send(arguments)
        return self._read()

    def _read(self) -> Any:
        try:
            return self._raw.read_response(disable_decoding=True)
        except _fakeredis_errors() as error:
            return error


def _guard(caller: FakeCaller) -> Guard:
    assert caller.guard is not None, "the contract gives these methods a late rule"
    return caller.guard


def _held(scope: FakeScope, handle: int) -> FakeConnection:
    found = scope.held.get(handle)
    if not isinstance(found, FakeConnection):
        sentence = f"Handle {handle} names nothing that this scope holds: it was closed, or belongs to another scope."
        raise CallError(Status.NOT_FOUND, Reason.HANDLE_UNKNOWN, sentence)
    return found


def _to_wire(reply: Any) -> redis_pb2.RedisReply:
    wire = redis_pb2.RedisReply()
    if isinstance(reply, bytes):
        wire.data = reply
    elif isinstance(reply, int):
        wire.integer = reply
    elif isinstance(reply, Exception):
        wire.error = _line(reply)
    elif isinstance(reply, (list, tuple)):
        wire.array.SetInParent()
        wire.array.items.extend([_to_wire(item) for item in reply])
    elif reply is not None:
        wire.data = str(reply).encode()
    return wire


def _line(error: Exception) -> str:
    """As a server says it, with its code."""
    text = str(error)
    code = _CODES.get(type(error).__name__)
    if code is not None:
        return f"{code} {text}"
    first = text.partition(" ")[0]
    return text if first.isupper() and first.isalpha() else f"ERR {text}"


def _fakeredis() -> Any:
    try:
        return importlib.import_module("fakeredis")
    except ImportError as error:
        raise RuntimeError(
            "tests of a plugin with Redis need the package fakeredis: pip install 'moorage-sdk[testing-redis]'"
        ) from error


def _fakeredis_errors() -> Any:
    return importlib.import_module("redis.exceptions").ResponseError
