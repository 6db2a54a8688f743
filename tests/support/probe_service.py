"""The service behind the probe contract; tests set what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import probe_contract

from moorage.broker.services.base import Caller
from moorage_proto import capability, config_pb2, kafka_pb2, log_pb2, sql_pb2
from moorage_proto.errors import CallError, Reason, Status


@dataclass
class HeldThing:
    """A resource that writes down its end."""

    name: str = "thing"
    fits: bool = True
    commit_fails: bool = False
    events: list[str] = field(default_factory=list)

    async def finish(self, *, success: bool) -> None:
        self.events.append(f"{self.name} {'commit' if success else 'rollback'}")
        if success and self.commit_fails:
            raise CallError(Status.ABORTED, Reason.SERIALIZATION_FAILURE, "another writer came between")

    async def release(self) -> None:
        self.events.append(f"{self.name} release")

    def revoked(self) -> bool:
        return not self.fits


async def _at_once() -> None:
    return None


@dataclass
class ProbeService:
    contract: Any = probe_contract.PROBE
    #: What reached a handler.
    seen: list[str] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    #: Awaited by `send` before it replies.
    work: Callable[[], Awaitable[None]] = _at_once
    #: Set when a handler waits in `work`, and when it was cancelled there.
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    unwound: asyncio.Event = field(default_factory=asyncio.Event)
    #: Raised by `peek` and `send`.
    error: Exception | None = None
    #: False: the late handlers reply without deciding.
    decides: bool = True
    events: list[str] = field(default_factory=list)

    async def open(self) -> None:
        self.events.append("open")

    async def close(self) -> None:
        self.events.append("close")

    def peek(self, caller: Caller, request: config_pb2.GetSettingRequest) -> config_pb2.GetSettingReply:
        self._enter(caller, request.key)
        return config_pb2.GetSettingReply(found=True)

    async def send(self, caller: Caller, request: kafka_pb2.ProduceRequest) -> kafka_pb2.ProduceReply:
        self._enter(caller, request.topic)
        try:
            await self.work()
        except asyncio.CancelledError:
            self.unwound.set()
            raise
        return kafka_pb2.ProduceReply(partition=7)

    async def send_many(
        self, caller: Caller, requests: AsyncIterator[kafka_pb2.ProduceRequest]
    ) -> kafka_pb2.ProduceReply:
        count = 0
        async for request in requests:
            self._enter(caller, request.topic)
            count += 1
        return kafka_pb2.ProduceReply(partition=count)

    async def echo(
        self, caller: Caller, requests: AsyncIterator[kafka_pb2.ProduceRequest]
    ) -> AsyncIterator[kafka_pb2.ProduceReply]:
        async for request in requests:
            self._enter(caller, request.topic)
            yield kafka_pb2.ProduceReply(partition=len(self.seen))

    def name(self, caller: Caller, request: log_pb2.WriteLogRequest) -> log_pb2.WriteLogReply:
        self._enter(caller, ",".join(record.logger for record in request.records))
        return log_pb2.WriteLogReply()

    async def connect(self, caller: Caller, request: sql_pb2.ConnectRequest) -> sql_pb2.ConnectReply:
        self._enter(caller, request.backend)
        if self.decides:
            assert caller.guard is not None
            caller.guard.require_any(request.backend)
        return sql_pb2.ConnectReply(connection=caller.scope.hold(HeldThing()))

    async def query(self, caller: Caller, request: sql_pb2.ExecuteRequest) -> AsyncIterator[sql_pb2.Rows]:
        """The statement is the name of the table that it reads."""
        self._enter(caller, request.statement)
        if self.decides:
            assert caller.guard is not None
            await asyncio.to_thread(caller.guard.require, capability.need("sql.read", request.statement))
        for _ in range(3):
            yield sql_pb2.Rows()
            await self.work()

    async def read(self, caller: Caller, request: sql_pb2.FetchRequest) -> AsyncIterator[sql_pb2.Rows]:
        self._enter(caller, str(request.cursor))
        yield sql_pb2.Rows()
        await self.work()
        yield sql_pb2.Rows()

    def own(self, caller: Caller, request: log_pb2.WriteLogRequest) -> log_pb2.WriteLogReply:
        self._enter(caller, "own")
        return log_pb2.WriteLogReply()

    async def hang(self) -> None:
        """For `work`: waits for ever."""
        self.entered.set()
        await asyncio.Event().wait()

    def _enter(self, caller: Caller, what: str) -> None:
        self.seen.append(what)
        self.callers.append(caller)
        if self.error is not None:
            raise self.error
