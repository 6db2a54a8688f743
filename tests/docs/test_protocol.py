"""docs/protocol.md names every service, method, frame, reason and limit as the contract has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage_proto import (
    config_pb2,
    console_pb2,
    error_pb2,
    events_pb2,
    execution_pb2,
    http_pb2,
    kafka_pb2,
    link_pb2,
    log_pb2,
    plugin_pb2,
    redis_pb2,
    secrets_pb2,
    servicebus_pb2,
    sql_pb2,
    storage_pb2,
    value_pb2,
)
from moorage_proto.link import LinkLimits
from moorage_proto.methods import Method, methods_of

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")

MODULES = (
    plugin_pb2,
    config_pb2,
    log_pb2,
    execution_pb2,
    console_pb2,
    secrets_pb2,
    sql_pb2,
    storage_pb2,
    kafka_pb2,
    redis_pb2,
    servicebus_pb2,
    http_pb2,
    events_pb2,
)
METHODS = [
    method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in methods_of(service).values()
]


def row(method: Method) -> str:
    """The method's line in its service's table."""
    request = f"stream {method.request.__name__}" if method.client_streaming else method.request.__name__
    reply = f"stream {method.reply.__name__}" if method.server_streaming else method.reply.__name__
    name = method.path.rpartition("/")[2] + (" (bulk)" if method.bulk else "")
    return f"| {name} | {request} | {reply} | {rule(method)} |"


def rule(method: Method) -> str:
    if method.access is None:
        return "the host calls it"
    kind = method.access.WhichOneof("rule")
    if kind == "needs":
        return "; ".join(f"needs `{need.verb}` on {', '.join(need.resource_paths)}" for need in method.access.needs.all)
    if kind == "late":
        return "decided while it runs: " + ", ".join(f"`{verb}`" for verb in method.access.late.verbs)
    if kind == "handle":
        return f"handle in `{method.access.handle}`"
    if kind == "classify":
        return f"classified by `{method.access.classify}`"
    return "own: " + method.access.own_reason


def test_every_service_of_the_contract_is_here():
    files = {
        path.stem for path in (ROOT / "proto" / "moorage_proto").glob("*.proto") if "\nservice " in path.read_text()
    }
    assert files == {module.DESCRIPTOR.name.rpartition("/")[2].partition(".")[0] for module in (*MODULES, link_pb2)}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.path)
def test_every_method_has_its_line(method):
    assert row(method) in DOC
    assert f"### {method.path.split('/')[1].rpartition('.')[2]}" in DOC


@pytest.mark.parametrize(
    "message", [link_pb2.Frame, link_pb2.Hello, link_pb2.Welcome, link_pb2.Limits, link_pb2.Call, value_pb2.Value]
)
def test_every_field_is_named(message):
    for field in message.DESCRIPTOR.fields:
        assert f"`{field.name}`" in DOC, f"{message.DESCRIPTOR.name}.{field.name}"


def test_every_reason_is_named():
    for name in error_pb2.Reason.keys():  # noqa: SIM118 - an enum's wrapper is no mapping
        assert f"`{name}`" in DOC


def test_the_limits_are_the_ones_in_force():
    limits = LinkLimits()
    for name in ("max_frame_bytes", "max_message_bytes", "initial_credit_bytes", "max_lanes", "max_open_calls"):
        assert f"| `{name}` | {getattr(limits, name):,} |" in DOC
    assert f"{limits.max_batch_bytes:,} bytes" in DOC
