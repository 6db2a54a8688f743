"""Runs inside a corner: contracts, SDK and testing kit, without any tool of the developer's own.

Prints one JSON object with the versions it ran on.
"""

from __future__ import annotations

import enum
import json
import logging
import platform
import typing
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Dict, List, Literal, Optional, Protocol, Tuple
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
from moorage_proto.typed import ServiceError, contract_of, extension_point, own, service
from moorage_proto.typed import capability as needs
from moorage_proto.typed.compare import difference
from moorage_proto.typed.extension import point_of
from moorage_proto.typed.fit import Fit, fitting
from moorage_sdk import Backend, CapabilityMissing, Context, Handover, Plugin, messages
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


class Color(enum.Enum):
    RED = 1


class CardDeclined(ServiceError):
    pass


@service("shop.billing", errors=[CardDeclined])
class Billing(Protocol):
    @needs("billing.charge:{customer}")
    def charge(
        self,
        customer: str,
        track: Track,
        wish: Wish,
        color: Color,
        level: Literal["low", "high"],
        day: date,
        prices: Dict[str, Decimal],
        grid: List[List[Optional[int]]],
        pair: Tuple[int, UUID],
        span: timedelta,
        note: Optional[str] = None,
    ) -> Dict[int, Track]: ...

    @own("prices are public")
    def prices(self, count: int) -> typing.Iterator[Track]: ...

    @needs("billing.load:{tracks.title}")
    def load(self, tracks: typing.Iterable[Track]) -> int: ...


@service(Billing)
class AsyncBilling(Protocol):
    async def charge(
        self,
        customer: str,
        track: Track,
        wish: Wish,
        color: Color,
        level: Literal["low", "high"],
        day: date,
        prices: Dict[str, Decimal],
        grid: List[List[Optional[int]]],
        pair: Tuple[int, UUID],
        span: timedelta,
        note: Optional[str] = None,
    ) -> Dict[int, Track]: ...

    def prices(self, count: int) -> typing.AsyncIterator[Track]: ...

    async def load(self, tracks: typing.AsyncIterable[Track]) -> int: ...


class FakeBilling:
    def charge(self, customer: str, track: Track, **rest: Any) -> Dict[int, Track]:
        assert rest == CHARGED[2], rest
        return {1: track}

    def prices(self, count: int) -> typing.Iterator[Track]:
        yield from (Track(str(number)) for number in range(count))

    def load(self, tracks: typing.Iterable[Track]) -> int:
        if len(list(tracks)) > 2:
            raise CardDeclined("there are too many")
        return 2


CHARGED: Tuple[str, Track, Dict[str, Any]] = (
    "c-1",
    Track("a", [Track("b")], datetime(2026, 11, 20, 6, tzinfo=timezone.utc)),
    {
        "wish": {"name": "x"},
        "color": Color.RED,
        "level": "low",
        "day": date(2026, 11, 20),
        "prices": {"a": Decimal("1.50")},
        "grid": [[], [1, None]],
        "pair": (2**62, UUID(int=7)),
        "span": timedelta(hours=-1),
        "note": None,
    },
)

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


shop = Plugin()


@shop.task
def bill(billing: Billing) -> List[Any]:
    customer, track, rest = CHARGED
    assert billing.charge(customer, track, **rest) == {1: track}
    try:
        billing.load([Track("a")] * 3)
    except CardDeclined as error:
        return [str(error), [each.title for each in billing.prices(2)], billing.load([Track("a")])]
    raise AssertionError("the card was not declined")


@shop.task
async def bill_async(billing: AsyncBilling, absent: Optional[Absent] = None) -> List[Any]:
    customer, track, rest = CHARGED
    assert absent is None
    assert await billing.charge(customer, track, **rest) == {1: track}
    return [[each.title async for each in billing.prices(2)], await billing.load(tracks())]


async def tracks() -> typing.AsyncIterator[Track]:
    yield Track("a")


@service("absent")
class Absent(Protocol):
    @own("nobody offers it")
    def do(self) -> None: ...


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
    for module, name in BROKERED:
        for method in service_methods(module, name).values():
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


@extension_point("shop.discount", version=2, compatible=(1,))
class Discount(Protocol):
    """What the application has."""

    async def discount(self, track: Track, coupon: str = "") -> Optional[int]: ...


@extension_point("shop.discount", version=1)
class OlderDiscount(Protocol):
    """What the plugin was written for."""

    def discount(self, track: Track) -> Optional[int]: ...


@plugin.implements(OlderDiscount)
class Regulars(OlderDiscount):
    """A subclass of a Protocol, with a constructor that is injected."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    def discount(self, track: Track) -> Optional[int]:
        assert self.ctx.installation == "churn"
        return len(track.title) or None


def check_extensions() -> None:
    point, older = point_of(Discount), point_of(OlderDiscount)
    assert point is not None
    assert older is not None
    told = plugin_pb2.Extension(point=older.name, version=older.version, methods=older.methods)
    told.contract.CopyFrom(older.contract.file)
    received = plugin_pb2.Extension.FromString(told.SerializeToString())
    assert fitting(point, 1, received.contract).fit is Fit.OLD
    assert fitting(point, 2, received.contract).fit is Fit.DIFFERENT
    kit = Moorage(TestedManifest("churn", entry_point="__main__:plugin"))
    kit.grant("extensions.implement:shop.discount")
    assert kit.call(Discount.discount, Track("abc"), "lost").result == 3
    assert kit.call(Discount.discount, Track("")).result is None
    kit.close()


def check_messages() -> None:
    record = {"method": "POST", "path": "/", "query": {"a": ["1"]}, "headers": {}, "body": b'{"name": "a"}'}
    request = messages.brought(record)
    assert isinstance(request, messages.WebhookRequest), request
    assert request.read(Wish) == {"name": "a"}
    assert messages.takes_whole(Optional[messages.WebhookRequest])
    assert not messages.takes_whole(Wish)
    assert messages.brought({"name": "a"}) is None


def check_typed() -> None:
    contract = contract_of(Billing)
    assert contract is not None
    assert contract.serialized == contract_of(AsyncBilling).serialized  # type: ignore[union-attr]
    assert difference(contract.file, contract.file) == ""
    for method in contract.methods.values():
        compile_rule(method.method, {})
    rights = ("billing.charge:c-*", "billing.load:a")
    kit = Moorage(TestedManifest("churn", capabilities=tuple(map(capability.parse, rights))))
    kit.services.provide(Billing, FakeBilling())
    assert kit.run(bill).result == ["there are too many", ["0", "1"], 2]
    assert kit.run(bill_async).result == [["0", "1"], 2]
    kit.deny("billing.charge:c-1")
    assert isinstance(kit.run(bill).error, CapabilityMissing)
    kit.close()


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
    checks = (
        check_contracts,
        check_handover,
        check_values,
        check_schema,
        check_messages,
        check_typed,
        check_extensions,
        check_kit,
    )
    for check in checks:
        check()
    found = {
        "python": platform.python_version(),
        "protobuf": google.protobuf.__version__,
        "grpcio": grpc.__version__,
    }
    print(json.dumps(found))
