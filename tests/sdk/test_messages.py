"""What triggers bring, as tasks take it: whole, in part, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Optional, Union

import pytest

from moorage_proto import plugin_pb2, values
from moorage_proto.errors import CallError, Reason
from moorage_sdk import Plugin, PluginInvalid, messages
from moorage_sdk.messages import (
    ChannelMessage,
    Ended,
    EventMessage,
    KafkaMessage,
    RedisMessage,
    ServiceBusMessage,
    Tick,
    WebhookRequest,
)

from .conftest import answer

NOW = datetime(2026, 11, 20, 6, tzinfo=timezone.utc)


@dataclass
class Order:
    number: int
    note: str = ""


ORDER = b'{"number": 7}'

#: Each, carrying the same order.
CARRYING = [
    KafkaMessage("orders", 0, 17, b"k", ORDER, [("trace", b"1"), ("trace", None)], NOW),
    ChannelMessage("orders", ORDER),
    ServiceBusMessage("orders", ORDER, "m-1", application_properties={"tries": 1}, enqueued_at=NOW),
    ServiceBusMessage("orders", value={"number": 7}),
    EventMessage("ev-1", "order.placed", "shop", NOW, {"number": 7}),
    WebhookRequest("POST", "/v1/webhooks/churn/orders", {"a": ["1", "2"]}, {"content-type": "text/json"}, ORDER),
    Ended("shop", "execute", "e-1", "succeeded", {"number": 7}, ended_at=NOW),
]
ALL = [*CARRYING, RedisMessage("orders", "1-0", {"note": b"\xff"}), Tick(NOW, NOW, 2, "churn/nightly")]


def execute_taking(annotation):
    plugin = Plugin()
    taken = []

    def execute(input):  # noqa: A002 - the word that plugins use
        taken.append(input)

    execute.__annotations__ = {"input": annotation}
    return plugin.task(execute), taken


@pytest.mark.parametrize("message", ALL, ids=lambda one: type(one).__name__)
def test_a_task_takes_the_message_as_it_is(kit, message):
    task, taken = execute_taking(type(message))
    assert kit.run(task, message).error is None
    assert taken == [message]


@pytest.mark.parametrize("message", CARRYING, ids=lambda one: type(one).__name__)
def test_a_task_of_another_input_takes_what_the_message_carries(kit, message):
    task, taken = execute_taking(Order)
    assert kit.run(task, message).error is None
    assert taken == [Order(7)]
    assert message.read(Order) == Order(7)


def test_an_entry_of_a_stream_carries_its_fields(kit):
    task, taken = execute_taking(dict)
    assert kit.run(task, RedisMessage("orders", "1-0", {"note": b"hot", "raw": b"\xff"})).error is None
    assert taken == [{"note": "hot", "raw": b"\xff"}]


def test_a_schedule_carries_nothing_so_that_defaults_count(kit):
    @dataclass
    class Wish:
        users: int = 3

    task, taken = execute_taking(Wish)
    assert kit.run(task, Tick(NOW, NOW)).error is None
    assert taken == [Wish()]


def test_a_task_without_input_runs_all_the_same(kit):
    plugin = Plugin()

    @plugin.task
    def execute() -> str:
        return "ran"

    assert kit.run(execute, KafkaMessage("orders", 0, 1)).result == "ran"
    with pytest.raises(CallError, match="takes none"):
        assert kit.run(execute, {"number": 7}).result


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(bytes, ORDER), (str, ORDER.decode()), (Any, {"number": 7}), (Optional[Order], Order(7))],
)
def test_the_body_as_it_is_or_as_text(kit, annotation, expected):
    task, taken = execute_taking(annotation)
    assert kit.run(task, ChannelMessage("orders", ORDER)).error is None
    assert taken == [expected]


def test_one_of_several_messages(kit):
    task, taken = execute_taking(Union[KafkaMessage, Tick])
    assert kit.run(task, Tick(NOW, NOW)).error is None
    assert taken == [Tick(NOW, NOW)]


def test_a_union_is_the_input_whatever_its_parameter_is_called(kit):
    plugin = Plugin()
    taken = []

    @plugin.task
    def execute(message: Union[KafkaMessage, Order, None]) -> None:
        taken.append(message)

    assert kit.run(execute, KafkaMessage("orders", 0, 1)).error is None
    assert kit.run(execute, {"number": 7}).error is None
    assert taken == [KafkaMessage("orders", 0, 1), Order(7)]


def test_a_union_with_what_could_be_no_input_is_refused(kit):
    plugin = Plugin()

    @plugin.task
    def execute(message: Union[KafkaMessage, int]) -> None: ...

    with pytest.raises(PluginInvalid, match="a union of such"):
        assert kit.run(execute).result


def test_a_tombstone_is_no_input(kit):
    task, taken = execute_taking(Optional[Order])
    assert kit.run(task, KafkaMessage("orders", 0, 1, b"k", None)).error is None
    assert taken == [None]


def test_a_body_that_is_no_json_is_refused_with_the_way_out(kit):
    task, taken = execute_taking(Order)
    run = kit.run(task, KafkaMessage("orders", 0, 1, value=b"\x00"))
    assert not taken
    with pytest.raises(CallError, match="take the KafkaMessage itself"):
        assert run.result


def test_a_body_that_is_nested_without_end_is_refused_as_one_that_is_no_json(kit):
    deep = KafkaMessage("orders", 0, 1, value=b"[" * 200_000)
    task, _ = execute_taking(Order)
    with pytest.raises(CallError, match="too deep"):
        assert kit.run(task, deep).result
    with pytest.raises(ValueError, match="too deep"):
        deep.json()


def test_what_is_given_by_a_person_is_never_taken_apart(kit):
    task, taken = execute_taking(KafkaMessage)
    assert kit.run(task, {"topic": "orders", "partition": 0, "offset": 1}).error is None
    assert taken == [KafkaMessage("orders", 0, 1)]


def test_no_two_messages_have_the_same_fields():
    assert len(messages._MESSAGES) == len(messages.__all__)


SOURCE = """
from moorage_sdk import Plugin
from moorage_sdk.messages import KafkaMessage

plugin = Plugin()


@plugin.task
def whole(message: KafkaMessage) -> bytes:
    return message.value


@plugin.task
def alone() -> str:
    return "ran"
"""


def run_request(task, value, *, brought=True):
    return plugin_pb2.RunRequest(
        task=task, execution="e-1", attempt=1, trigger="kafka", input=values.to_wire(value), input_brought=brought
    )


async def run(runtime, request):
    return values.from_wire(plugin_pb2.RunReply.FromString(await answer(runtime, "run", request)).result)


async def test_a_worker_is_told_what_a_trigger_brought(runtime):
    one = runtime(SOURCE)
    await answer(one, "load", plugin_pb2.LoadRequest())
    record = {"topic": "t", "partition": 0, "offset": 1, "key": None, "value": b"v", "headers": [], "timestamp": None}
    assert await run(one, run_request("whole", record)) == b"v"
    assert await run(one, run_request("alone", record)) == "ran"
    with pytest.raises(CallError, match="takes none") as refused:
        await run(one, run_request("alone", record, brought=False))
    assert refused.value.reason == Reason.REQUEST_INVALID
    with pytest.raises(CallError, match="takes none"):
        await run(one, run_request("alone", {"written": "down"}))
    await answer(one, "unload", plugin_pb2.UnloadRequest())
