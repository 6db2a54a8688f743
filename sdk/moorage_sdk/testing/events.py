"""Events for tests: ``moorage.events.published("track.playing")``."""

from __future__ import annotations

import itertools
import time
from typing import Any, Callable, Dict, Iterator, List

from moorage_proto import capability, events_pb2, link_pb2, topics, values
from moorage_proto.errors import CallError, Reason, Status
from moorage_sdk.services.events import Event, from_wire
from moorage_sdk.testing.base import FakeCaller

#: Given the request's data, returns the answer's.
Answer = Callable[[Any], Any]


class FakeEvents:
    """What is published is kept; what is asked is answered as the test says. Handlers: ``moorage.handle(...)``."""

    name = "events"
    contract = events_pb2.DESCRIPTOR.services_by_name["EventsService"]

    def __init__(self) -> None:
        self._published: List[Event] = []
        self._waiting: List[events_pb2.Event] = []
        self._answers: Dict[str, Answer] = {}
        self._numbers = itertools.count(1)

    def published(self, topic: str = "**") -> List[Event]:
        """By the plugin; globs as in capabilities."""
        return [event for event in self._published if matches(topic, event.topic)]

    def answer(self, topic: str, answer: Any) -> None:
        """Requests to the topic are answered with this, or with what this function of the request's data returns."""
        self._answers[topic] = answer if callable(answer) else lambda _: answer

    def put(self, topic: str, data: Any = None) -> None:
        """For those who subscribe later: a subscription brings all that was put and matches, and ends."""
        self._waiting.append(self.event(topic, data, source=""))

    def event(self, topic: str, data: Any, *, source: str) -> events_pb2.Event:
        """As it crosses. Raises ValueError for a topic that is none."""
        problem = topics.problem_of(topic)
        if problem:
            raise ValueError(problem)
        micros = time.time_ns() // 1000
        made = events_pb2.Event(id=f"ev-{next(self._numbers)}", topic=topic, source=source, time_micros=micros)
        made.data.CopyFrom(values.to_wire(data))
        return made

    def publish(self, caller: FakeCaller, request: events_pb2.PublishEventRequest) -> events_pb2.PublishEventReply:
        _check(topics.problem_of(request.topic))
        data = values.from_wire(request.data) if request.HasField("data") else None
        wire = self.event(request.topic, data, source=caller.installation)
        self._published.append(from_wire(wire))
        self._waiting.append(wire)
        return events_pb2.PublishEventReply(id=wire.id)

    def request(self, caller: FakeCaller, request: events_pb2.RequestEventRequest) -> events_pb2.RequestEventReply:  # noqa: ARG002 - the gate has decided
        _check(topics.problem_of(request.topic))
        answer = self._answers.get(request.topic)
        if answer is None:
            sentence = f"Nobody replies to {request.topic} in this test; say who does with moorage.events.answer(...)."
            raise CallError(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, sentence, retryable=True)
        data = values.from_wire(request.data) if request.HasField("data") else None
        return events_pb2.RequestEventReply(data=values.to_wire(answer(data)))

    def subscribe(self, caller: FakeCaller, request: events_pb2.SubscribeEventsRequest) -> Iterator[events_pb2.Event]:
        assert caller.guard is not None, "the contract gives this method a late rule"
        if not request.topics:
            _check("A subscription names at least one topic.")
        for pattern in request.topics:
            _check(topics.problem_of_pattern(pattern))
            caller.guard.require(capability.need("events.subscribe", pattern))
        for event in tuple(self._waiting):
            wanted = any(matches(pattern, event.topic) for pattern in request.topics)
            if wanted and caller.guard.covers(capability.need("events.subscribe", event.topic)):
                yield event

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """The handshake says nothing of it."""

    def close(self) -> None:
        """Nothing is held."""


def matches(pattern: str, topic: str) -> bool:
    return capability.Capability("events.subscribe", pattern).covers(capability.need("events.subscribe", topic))


def _check(problem: str) -> None:
    if problem:
        raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, problem)
