"""What a plugin says of itself: its SDK is in its own hands."""

from __future__ import annotations

import pytest

from moorage.broker import declared
from moorage.broker.declared import read_declared
from moorage_proto import plugin_pb2, value_pb2, values
from moorage_proto.errors import CallError, Reason
from moorage_proto.plugin_pb2 import EventHandler, Extension, LoadReply, Task

SCHEMA = values.record_to_wire({"type": "object", "properties": {"n": {"type": "integer"}}})


def handlers(count: int) -> list[EventHandler]:
    return [EventHandler(name=f"a.{number} seen", topic=f"a.{number}") for number in range(count)]


def _nested(messages: int) -> Extension:
    made = Extension(point="a")
    for number in range(messages):
        made.contract.message_type.add(name=f"M{number}")
    return made


def _wide(fields: int) -> Extension:
    made = Extension(point="a")
    message = made.contract.message_type.add(name="M")
    for number in range(fields):
        message.field.add(number=number)
    return made


def test_extensions_are_taken_as_they_are_told() -> None:
    (told,) = read_declared(LoadReply(extensions=[Extension(point="a.b", version=3, methods=["pick"])])).extensions
    assert (told.point, told.version, told.methods, len(told.contract.service)) == ("a.b", 3, ("pick",), 0)


def test_what_an_honest_one_says_is_taken() -> None:
    reply = LoadReply(
        tasks=[Task(name="execute", summary="Counts", input_schema=SCHEMA)],
        handlers=[EventHandler(name="track.* \u00fcber", topic="track.*", replies=True, data_schema=SCHEMA)],
    )
    told = read_declared(reply)
    assert (told.tasks[0].name, told.tasks[0].input_schema["type"]) == ("execute", "object")
    assert told.extensions == ()
    (handler,) = told.handlers
    assert (handler.topic, handler.replies, handler.data_schema["properties"]) == (
        "track.*",
        True,
        {"n": {"type": "integer"}},
    )
    assert len(read_declared(LoadReply(handlers=handlers(declared.MAX_HANDLERS))).handlers) == declared.MAX_HANDLERS


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (LoadReply(handlers=handlers(100_000)), r"it has 100,000 event handlers, and at most 100 are taken"),
        (LoadReply(tasks=[Task(name=str(number)) for number in range(1001)]), "1,001 tasks"),
        (LoadReply(tasks=[Task(name="a", summary="x" * 2**20)]), r"bytes, and at most 1,048,576 are taken"),
        (
            LoadReply(tasks=[Task(name="a", result_schema=values.record_to_wire({"enum": [None] * 60_000}))]),
            "more than 50,000 values",
        ),
        (
            LoadReply(handlers=[EventHandler(name="a", topic="a", data_schema=value_pb2.Record(entries=[{}]))]),
            "a value of no kind",
        ),
        (LoadReply(tasks=[Task(name="\x1b[2Jexecute")]), "a name that is none"),
        (LoadReply(handlers=[EventHandler(name="a\nmoorage: granted", topic="a")]), "a name that is none"),
        (LoadReply(handlers=[EventHandler(name="x" * 501, topic="a")]), "a name that is none"),
        (LoadReply(tasks=[Task()]), "a name that is none"),
        (LoadReply(extensions=[Extension(point="a")] * 101), "101 extensions, and at most 100 are taken"),
        (LoadReply(extensions=[Extension(point="a", methods=["m"] * 101)]), "101 methods of one extension"),
        (LoadReply(extensions=[_nested(1001)]), "1,001 messages of one extension"),
        (LoadReply(extensions=[_wide(6_000), _wide(4_001)]), "10,001 fields of extensions"),
        (LoadReply(extensions=[Extension(point="a", methods=["\x1b[2J"])]), "a name that is none"),
        (LoadReply(extensions=[Extension()]), "a name that is none"),
        (LoadReply(handlers=[EventHandler(name="a", topic="a\x00b")]), r"'a\\x00b' is no topic of events"),
        (LoadReply(handlers=[EventHandler(name="a", topic="**a" * 100_000)]), "at most 200 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_hostile_one_says_is_refused_in_a_sentence(reply: plugin_pb2.LoadReply, sentence: str) -> None:
    with pytest.raises(CallError, match=sentence) as refused:
        read_declared(reply)
    assert refused.value.reason == Reason.LOAD_FAILED
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 600
