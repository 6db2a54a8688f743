"""Which right a plugin's own trigger needs."""

from __future__ import annotations

import pytest

from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers.rights import right_of
from moorage_proto.capability import Grants, parse


@pytest.mark.parametrize(
    ("trigger", "right"),
    [
        (Trigger("kafka", "orders"), "kafka.consume:orders"),
        (Trigger("kafka", "orders", options={"backend": "eu"}), "kafka.consume:eu/orders"),
        (Trigger("redis", "orders", options={"mode": "stream"}), "redis.consume:orders"),
        (Trigger("redis", "news"), "redis.subscribe:news"),
        (Trigger("servicebus", "Orders"), "servicebus.receive:orders"),
        (
            Trigger("servicebus", "orders", options={"subscription": "eu"}),
            "servicebus.receive:orders/subscriptions/eu",
        ),
        (Trigger("event", "track.*"), "events.subscribe:track.*"),
        (Trigger("outcome", "etl/load"), "executions.follow:etl"),
        (Trigger("outcome", "etl-*/load"), "executions.follow:etl-*"),
    ],
)
def test_it_names_what_is_listened_to(trigger: Trigger, right: str) -> None:
    needed = right_of(trigger)
    assert needed is not None
    assert parse(right).covers(needed)
    assert not parse(f"{right.partition(':')[0]}:another").covers(needed)


@pytest.mark.parametrize("kind", ["interval", "cron", "startup", "webhook"])
def test_what_reaches_nothing_of_others_needs_none(kind: str) -> None:
    assert right_of(Trigger(kind, "")) is None


@pytest.mark.parametrize(
    ("kind", "source", "allow", "deny"),
    [
        ("redis", "secre[t]", "redis.subscribe:**", "redis.subscribe:secret"),
        ("redis", "secre?", "redis.subscribe:**", "redis.subscribe:secret"),
        ("redis", "s*", "redis.subscribe:**", "redis.subscribe:secret"),
        ("outcome", "payrol[l]", "executions.follow:**", "executions.follow:payroll"),
        ("outcome", "payrol?/run", "executions.follow:**", "executions.follow:payroll"),
        ("event", "pay.*", "events.subscribe:**", "events.subscribe:pay.roll"),
    ],
)
def test_a_pattern_reaches_no_further_than_its_rights(kind: str, source: str, allow: str, deny: str) -> None:
    needed = right_of(Trigger(kind, source))
    assert needed is not None
    assert Grants((parse(allow),)).decide(needed).allowed
    assert not Grants((parse(allow),), (parse(deny),)).decide(needed).allowed
    assert not Grants((parse(deny),)).decide(needed).allowed
