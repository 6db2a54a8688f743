"""The contract's RedisService over named servers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from moorage.broker.services.base import Caller, Guard
from moorage.broker.services.redis import refusals
from moorage.broker.services.redis.execution import run_commands, run_on
from moorage.broker.services.redis.held import HeldSubscription, held_line, held_subscription
from moorage.broker.services.redis.library import RedisClientMissing
from moorage.broker.services.redis.line import Line
from moorage.broker.services.redis.server import GrantsOf, Server
from moorage.broker.services.redis.wire import reply_to_wire, to_wire
from moorage.config.services.redis import RedisBackend
from moorage.models.installation import InstallationId
from moorage_proto import redis_pb2
from moorage_proto.capability import MAIN_BACKEND, Capability
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.redis_access import Examined
from moorage_proto.redis_decisions import commands_of, decide_subscription, decisions, examined
from moorage_proto.redis_limits import Command

log = logging.getLogger(__name__)

#: Decisions before others have their turn.
TURN = 200


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """For connections of the host's own, such as those of triggers."""

    #: Its name.
    server: str
    #: A connection by the operator's own login, which its taker closes. Raises CallError.
    open: Callable[[], Awaitable[Line]]
    #: Longest that the server may take for what does not wait.
    timeout_seconds: float


class RedisService:
    """Implements ``Service``. What it opens is held by the caller's scope."""

    contract = redis_pb2.DESCRIPTOR.services_by_name["RedisService"]

    def __init__(self, servers: Mapping[str, Server], missing: str = "") -> None:
        self._servers = dict(servers)
        #: Why no server can be used, if so.
        self._missing = missing

    @classmethod
    def from_settings(cls, backends: Mapping[str, RedisBackend], grants_of: GrantsOf, owner: str = "host") -> Self:
        """``owner`` names this host among those that use the same servers. Raises RedisSettingsInvalid.

        Without the client library the host still starts; calls are then answered with what to install.
        """
        try:
            return cls({name: Server(name, backend, grants_of, owner) for name, backend in backends.items()})
        except RedisClientMissing as missing:
            log.warning("%s", missing)
            return cls({}, str(missing))

    def access(self, backend: str = MAIN_BACKEND) -> RedisAccess:
        """Raises CallError."""
        server = self._server(backend)
        return RedisAccess(server.name, server.own_line, server.timeout_seconds)

    async def open(self) -> None:
        """Servers are connected to when they are first used."""

    async def close(self) -> None:
        for server in self._servers.values():
            await server.close()

    async def forget(self, installation: InstallationId) -> None:
        """An installation is gone: its connections close, and its users on the servers are removed."""
        for server in self._servers.values():
            await server.forget(installation)

    async def execute(
        self, caller: Caller, request: redis_pb2.ExecuteCommandsRequest
    ) -> redis_pb2.ExecuteCommandsReply:
        held = held_line(caller.scope, request.connection) if request.connection else None
        server = held.server if held is not None else self._server(request.backend)
        commands = await self._examined(caller, server, commands_of(request.commands))
        replies, left = await run_commands(caller, server, commands, held)
        return redis_pb2.ExecuteCommandsReply(
            replies=await to_wire(replies), connection=left.handle if left is not None else 0
        )

    async def release(self, caller: Caller, request: redis_pb2.ReleaseRequest) -> redis_pb2.ReleaseReply:
        await held_line(caller.scope, request.connection).close()
        return redis_pb2.ReleaseReply()

    async def subscribe(
        self, caller: Caller, request: redis_pb2.SubscribeRequest
    ) -> AsyncGenerator[redis_pb2.Delivery, None]:
        """Whoever stops taking holds back the server, which ends a subscription that lags too far behind."""
        server = self._server(request.backend)
        commands = commands_of(request.commands)
        decided = self._decided(caller, server, commands)
        lines = await server.lines(caller.installation)
        held = HeldSubscription(caller.scope, server, lines, await lines.hold())
        try:
            await run_on(held.line, server, [(b"PING",)], caller.label)
            await self._change(caller, held, commands, decided)
            yield redis_pb2.Delivery(subscription=held.handle)
            async with contextlib.aclosing(held.deliveries()) as deliveries:
                async for reply in deliveries:
                    yield redis_pb2.Delivery(reply=reply_to_wire(reply))
        finally:
            await held.close()

    async def change_subscription(
        self, caller: Caller, request: redis_pb2.ChangeSubscriptionRequest
    ) -> redis_pb2.ChangeSubscriptionReply:
        held = held_subscription(caller.scope, request.subscription)
        commands = commands_of(request.commands)
        decided = self._decided(caller, held.server, commands)
        await self._change(caller, held, commands, decided)
        return redis_pb2.ChangeSubscriptionReply()

    async def _change(
        self,
        caller: Caller,
        held: HeldSubscription,
        commands: Sequence[Command],
        decided: Sequence[tuple[Capability, ...]],
    ) -> None:
        for command, needs in zip(commands, decided, strict=True):
            held.needs(_guard(caller), needs)
            if command[0].lower() == b"psubscribe":
                for pattern in command[1:]:
                    await held.server.allow_pattern(caller.installation, pattern)
        if commands:
            await held.line.send(commands)

    def _decided(self, caller: Caller, server: Server, commands: Sequence[Command]) -> list[tuple[Capability, ...]]:
        """What each command of a subscription needs, all of it allowed."""
        guard = _guard(caller)
        guard.require_any(server.name)
        return [decide_subscription(guard, command, server.name) for command in commands]

    async def _examined(self, caller: Caller, server: Server, commands: Sequence[Command]) -> list[Examined]:
        """Everything of a call is decided on before anything of it is sent."""
        table = await server.table()
        guard = _guard(caller)
        found = []
        steps = itertools.count(1)
        for command in commands:
            found.append(examined(table, command, server.name))
            for _ in decisions(guard, found[-1], server.name):
                if next(steps) % TURN == 0:
                    await asyncio.sleep(0)
        if any(command.runs_script for command in found):
            await server.lines(caller.installation)
            if (refusal := server.refuse_scripts()) is not None:
                raise refusal
        return found

    def _server(self, name: str) -> Server:
        if self._missing:
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, f"On this host: {self._missing}")
        name = name or MAIN_BACKEND
        server = self._servers.get(name)
        if server is None:
            raise refusals.backend_unknown(name)
        return server


def _guard(caller: Caller) -> Guard:
    assert caller.guard is not None, "the contract gives these methods a late rule"
    return caller.guard
