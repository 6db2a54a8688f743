"""Runs inside a corner: contracts, SDK and testing kit, without any tool of the developer's own.

Prints one JSON object with the versions it ran on.
"""

from __future__ import annotations

import json
import logging
import platform
import typing
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, List, Optional
from uuid import UUID

import google.protobuf
import grpc
from typing_extensions import Annotated, NotRequired, TypedDict

from moorage_proto import (
    access_pb2,
    capability,
    config_pb2,
    execution_pb2,
    kafka_pb2,
    log_pb2,
    plugin_pb2,
    sql_pb2,
    value_pb2,
    values,
)
from moorage_proto.classifiers import CLASSIFIERS
from moorage_proto.methods import service_methods
from moorage_proto.rules import compile_rule
from moorage_sdk import Backend, CapabilityMissing, Context, Handover, Plugin
from moorage_sdk.config import Config
from moorage_sdk.kafka import Producer
from moorage_sdk.schema import json_schema, shape_of
from moorage_sdk.testing import Moorage, TestedManifest

BROKERED = (
    (config_pb2, "ConfigService"),
    (execution_pb2, "ExecutionService"),
    (kafka_pb2, "KafkaService"),
    (log_pb2, "LogService"),
    (sql_pb2, "SqlService"),
)

EVERY_KIND = {
    "null": None,
    "flag": True,
    "number": -5,
    "big": 2**70,
    "real": 0.5,
    "text": "grüß",
    "raw": b"\x00\x01",
    "money": Decimal("1.50"),
    "day": date(2026, 11, 20),
    "clock": time(6, 0, 0, 250000),
    "moment": datetime(2026, 11, 20, 6, tzinfo=timezone.utc),
    "span": timedelta(hours=-1, microseconds=5),
    "key": UUID(int=7),
    "list": [1, ["a", {}]],
}


@dataclass
class Track:
    title: str
    children: List[Track] = field(default_factory=list)
    played: Optional[datetime] = None


class Wish(TypedDict):
    name: str
    times: NotRequired[int]


plugin = Plugin()


class Repository:
    def __init__(self, config: Config) -> None:
        self.greeting = config["greeting"]


@plugin.provide
def repository(config: Config) -> typing.Iterator[Repository]:
    yield Repository(config)


@plugin.task
def execute(
    ctx: Context,
    wish: Wish,
    repository: Repository,
    log: logging.Logger,
    kafka: Producer,
    other: Annotated[Optional[Producer], Backend("analytics")] = None,
) -> Track:
    """Greets."""
    assert other is None
    kafka.send("plugin-topic", repository.greeting).result(timeout=5)
    log.info("sent", extra={"to": wish["name"]})
    ctx.progress(1.0)
    return Track(wish["name"] * wish.get("times", 1), [Track("b")])


@plugin.task
async def leak(kafka: Producer) -> None:
    await kafka.send("elsewhere", "x")


class Counter:
    def __init__(self, count: int) -> None:
        self.count = count
        self.upgraded = ""


@plugin.provide(lifetime="plugin")
def counter(handover: Optional[Handover]) -> Counter:
    return Counter(handover.state["count"] if handover is not None else 0)


@plugin.on_upgrade
def upgrade(counter: Counter, from_version: str) -> None:
    counter.upgraded = from_version


@plugin.task
def seen(counter: Counter) -> List[Any]:
    counter.count += 1
    return [counter.count, counter.upgraded]


@plugin.export_state
async def export(counter: Counter) -> typing.Dict[str, int]:
    return {"count": counter.count}


def check_contracts() -> None:
    for module, service in BROKERED:
        for method in service_methods(module, service).values():
            compile_rule(method, CLASSIFIERS)
    methods = service_methods(sql_pb2, "SqlService")
    assert methods["fetch"].server_streaming
    assert methods["fetch"].bulk
    assert methods["execute_many"].client_streaming
    assert methods["execute"].access is not None
    assert list(methods["execute"].access.late.verbs) == ["sql.read", "sql.write", "sql.define"]
    assert service_methods(plugin_pb2, "PluginService")["run"].access is None
    assert access_pb2.access is not None


def check_handover() -> None:
    """A field that is left out, one that is None, and one that is there."""
    assert not plugin_pb2.ExportStateReply(state=None).HasField("state")
    request = plugin_pb2.LoadRequest(state=values.to_wire(None), from_version="1", version="2")
    assert plugin_pb2.LoadRequest.FromString(request.SerializeToString()).HasField("state")


def check_values() -> None:
    wire = value_pb2.Value.FromString(values.to_wire(EVERY_KIND).SerializeToString())
    assert values.from_wire(wire) == EVERY_KIND


def check_schema() -> None:
    schema = json_schema(shape_of(Wish))
    assert schema["required"] == ["name"], schema
    track: Any = shape_of(Track)
    assert track.read(track.write(Track("a", [Track("b")]), "x"), "x") == Track("a", [Track("b")])


def check_kit() -> None:
    rights = ("kafka.produce:plugin-topic", "config.read:greeting")
    kit = Moorage(TestedManifest("churn", capabilities=tuple(map(capability.parse, rights))))
    run = kit.run(execute, {"name": "a", "times": 2}, config={"greeting": "Hello"})
    assert run.result == Track("aa", [Track("b")])
    assert kit.kafka.values("plugin-topic") == [b"Hello"]
    assert [line.message for line in run.logs] == ["sent"]
    assert isinstance(kit.run(leak).error, CapabilityMissing)
    before = kit.run(seen, export_state=True)
    assert before.state == {"count": 1}, before
    assert kit.run(seen, handover=Handover(before.state, from_version="0.9")).result == [2, "0.9"]
    kit.close()


if __name__ == "__main__":
    for check in (check_contracts, check_handover, check_values, check_schema, check_kit):
        check()
    found = {
        "python": platform.python_version(),
        "protobuf": google.protobuf.__version__,
        "grpcio": grpc.__version__,
    }
    print(json.dumps(found))
