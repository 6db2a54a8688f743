"""Values as deep as the contract allows survive protobuf's own bound on nesting, wherever a message carries them."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from moorage_proto import log_pb2, plugin_pb2, sql_pb2, values


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"deeper": value}
    return value


DEEPEST = values.to_wire(nested(values.MAX_DEPTH))


@pytest.mark.parametrize(
    "message",
    [
        plugin_pb2.RunReply(result=DEEPEST),
        plugin_pb2.LoadReply(tasks=[plugin_pb2.Task(result_schema=DEEPEST.record)]),
        sql_pb2.ExecuteManyRequest(rows=[sql_pb2.ParameterRow(parameters=[DEEPEST])]),
        log_pb2.WriteLogRequest(records=[log_pb2.LogRecord(fields=DEEPEST.record)]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_the_deepest_value_crosses(message: Message) -> None:
    assert type(message).FromString(message.SerializeToString()) == message


def test_a_deeper_one_is_refused() -> None:
    with pytest.raises(values.ValueInvalid, match="nested deeper than 30 levels"):
        values.to_wire(nested(values.MAX_DEPTH + 1))


def test_more_parts_than_the_bound_are_refused() -> None:
    wire = values.to_wire([[1, {"a": 2}], [3]])
    values.check_parts((wire,), 7)
    with pytest.raises(values.ValueInvalid, match="more than 6 values came at once"):
        values.check_parts((wire,), 6)
