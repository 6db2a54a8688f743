"""The contract's EventsService: what plugins publish, ask and subscribe to."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence

from moorage.broker.services.base import Caller
from moorage.broker.services.events.hub import REPLY_SECONDS, EventHub, check, to_wire
from moorage.broker.services.events.relay import RedisRelay
from moorage.broker.services.events.wire import event_to_wire
from moorage.models.installation import InstallationId
from moorage_proto import events_pb2, topics, value_pb2
from moorage_proto.capability import need
from moorage_proto.errors import CallError, Reason, Status

#: Of one subscription: each is compared with every event.
MAX_PATTERNS = 20

#: Of one installation, at the same time.
MAX_SUBSCRIPTIONS = 16


class EventsService:
    contract = events_pb2.DESCRIPTOR.services_by_name["EventsService"]

    def __init__(self, hub: EventHub, relay: RedisRelay | None = None) -> None:
        """``relay``: the way to other hosts, which is this service's from here on."""
        self._hub = hub
        self._relay = relay
        self._subscriptions: Counter[InstallationId] = Counter()

    async def open(self) -> None:
        if self._relay is not None:
            await self._relay.open()

    async def close(self) -> None:
        if self._relay is not None:
            await self._relay.close()
        self._hub.close()

    def publish(self, caller: Caller, request: events_pb2.PublishEventRequest) -> events_pb2.PublishEventReply:
        event = self._hub.publish(request.topic, _data(request), caller.installation)
        return events_pb2.PublishEventReply(id=event.id)

    async def request(self, caller: Caller, request: events_pb2.RequestEventRequest) -> events_pb2.RequestEventReply:
        now = asyncio.get_running_loop().time()
        timeout = REPLY_SECONDS if caller.deadline is None else min(REPLY_SECONDS, caller.deadline - now)
        reply = await self._hub.request(
            request.topic, _data(request), source=caller.installation, timeout_seconds=timeout
        )
        return events_pb2.RequestEventReply(data=to_wire(reply.data), source=reply.source)

    async def subscribe(
        self, caller: Caller, request: events_pb2.SubscribeEventsRequest
    ) -> AsyncGenerator[events_pb2.Event, None]:
        """A pattern may be wider than the right: each event is decided by itself."""
        guard = caller.guard
        assert guard is not None, "the contract gives this method a late rule"
        _check_patterns(request.topics)
        for pattern in request.topics:
            guard.require(need("events.subscribe", pattern))
        with self._counted(caller.installation):
            async with contextlib.aclosing(self._hub.subscribe(*request.topics)) as events:
                async for event in events:
                    if guard.covers(need("events.subscribe", event.topic)):
                        yield event_to_wire(event)

    @contextlib.contextmanager
    def _counted(self, name: InstallationId) -> Iterator[None]:
        if self._subscriptions[name] >= MAX_SUBSCRIPTIONS:
            sentence = (
                f"{name} has {MAX_SUBSCRIPTIONS} subscriptions, and no more may be open at the same time; close one, or"
                " name several topics in one."
            )
            raise CallError(Status.RESOURCE_EXHAUSTED, Reason.QUOTA_EXCEEDED, sentence)
        self._subscriptions[name] += 1
        try:
            yield
        finally:
            self._subscriptions[name] -= 1
            if not self._subscriptions[name]:
                del self._subscriptions[name]


def _data(request: events_pb2.PublishEventRequest | events_pb2.RequestEventRequest) -> value_pb2.Value | None:
    return request.data if request.HasField("data") else None


def _check_patterns(patterns: Sequence[str]) -> None:
    if not 0 < len(patterns) <= MAX_PATTERNS:
        check(f"A subscription names one to {MAX_PATTERNS} topics; this one names {len(patterns)}.")
    for pattern in patterns:
        check(topics.problem_of_pattern(pattern))
