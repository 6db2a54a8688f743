from __future__ import annotations

import re

import pytest

from moorage.telemetry.trace import child_of, new_traceparent


def test_a_new_trace_is_well_formed_and_new() -> None:
    made = {new_traceparent() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", text) for text in made)


def test_a_child_stays_in_its_trace() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    child = child_of(parent)
    assert child.split("-")[1] == parent.split("-")[1]
    assert child.split("-")[2] != parent.split("-")[2]
    assert child.endswith("-00")


@pytest.mark.parametrize("text", ["", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{'a' * 32}-{'0' * 16}-01"])
def test_nonsense_begins_a_new_trace(text: str) -> None:
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", child_of(text))
