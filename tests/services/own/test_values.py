"""Values on their way through the messages of contracts: they arrive as they were, or are refused with a sentence."""

from __future__ import annotations

import enum
import math
import typing
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Dict, FrozenSet, List, Literal, NamedTuple, Optional, Set, Tuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import NotRequired, TypedDict

from moorage_proto.typed import ValueUnfit, contract_of, own, service
from moorage_proto.typed.containers import MAX_ALIKE
from moorage_proto.typed.records import MAX_ITEMS

Level = Literal["low", "high"]


class Color(enum.Enum):
    RED = object()
    BLUE = 2


@dataclass
class Tree:
    name: str
    children: List[Tree] = field(default_factory=list)
    note: Optional[str] = None
    weights: List[float] = field(default_factory=lambda: [1.0])


class Point(NamedTuple):
    x: int
    y: int = 7


class Wish(TypedDict):
    name: str
    times: NotRequired[int]
    tags: NotRequired[List[str]]
    note: NotRequired[Optional[str]]


class Model(BaseModel):
    size: int = Field(alias="Size", gt=0)
    parts: List[Point] = []
    label: Optional[str] = None

    model_config = {"populate_by_name": True}


def method(annotation: Any) -> Any:
    """Of a contract that returns what it takes."""

    def do(self: Any, value: Any) -> Any: ...

    do.__annotations__ = {"value": annotation, "return": annotation}
    source = service("values")(type("Values", (), {"do": own("a test's own")(do)}))
    return contract_of(source).methods["do"]


def crossed(annotation: Any, value: Any) -> Any:
    """There as an argument and back as a result."""
    made = method(annotation)
    request = made.method.request.FromString(made.request({"value": value}).SerializeToString())
    arrived = made.arguments(request).get("value")
    return made.result(made.method.reply.FromString(made.reply(arrived).SerializeToString()))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INTEGER = st.integers(-(2**63), 2**63 - 1)
OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda span: timezone(timedelta(seconds=int(span.total_seconds())))
)

#: Types with values of them.
SINGLES: Dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    bool: st.booleans(),
    int: INTEGER,
    float: st.floats(allow_nan=False),
    bytes: st.binary(max_size=8),
    datetime: st.datetimes(timezones=st.none() | OFFSETS),
    date: st.dates(),
    time: st.times(),
    timedelta: st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)),
    Decimal: st.decimals(-(10**40), 10**40, allow_nan=False) | st.just(Decimal("Infinity")),
    UUID: st.uuids(),
    Color: st.sampled_from(Color),
    Level: st.sampled_from(typing.get_args(Level)),
}
HASHABLE = [kind for kind in SINGLES if kind is not float]


def _trees() -> st.SearchStrategy[Tree]:
    leaves = st.builds(Tree, TEXT, st.just([]), st.none() | TEXT, st.lists(st.floats(allow_nan=False), max_size=2))
    return st.recursive(leaves, lambda inner: st.builds(Tree, TEXT, st.lists(inner, max_size=3)), max_leaves=5)


def _wishes() -> st.SearchStrategy[Any]:
    optional = {"times": INTEGER, "tags": st.lists(TEXT, max_size=2), "note": st.none() | TEXT}
    return st.fixed_dictionaries({"name": TEXT}, optional=optional)


RECORDS: Dict[Any, st.SearchStrategy[Any]] = {
    Tree: _trees(),
    Point: st.builds(Point, INTEGER, INTEGER),
    Wish: _wishes(),
    Model: st.builds(
        Model, Size=st.integers(1, 9), parts=st.lists(st.builds(Point, INTEGER), max_size=2), label=st.none() | TEXT
    ),
}


@st.composite
def annotated_values(draw: Any, depth: int = 2) -> Tuple[Any, Any]:
    """An annotation, and a value of it."""
    if depth == 0 or draw(st.booleans()):
        kind, values = draw(st.sampled_from([*SINGLES.items(), *RECORDS.items()]))
        return kind, draw(values)
    wrap = draw(st.sampled_from(["list", "tuple", "fixed", "optional", "dict", "set"]))
    if wrap == "set":
        kind = draw(st.sampled_from(HASHABLE))
        holder = draw(st.sampled_from([Set, FrozenSet]))
        made = {Set: set, FrozenSet: frozenset}[holder]
        return holder[kind], made(draw(st.lists(SINGLES[kind], max_size=3)))
    if wrap == "dict":
        key = draw(st.sampled_from(HASHABLE))
        inner, value = draw(annotated_values(depth - 1))
        return Dict[key, inner], dict.fromkeys(draw(st.lists(SINGLES[key], max_size=3)), value)
    inner, value = draw(annotated_values(depth - 1))
    count = draw(st.integers(0, 2))
    if wrap == "list":
        return List[inner], [value] * count
    if wrap == "tuple":
        return Tuple[inner, ...], (value,) * count
    if wrap == "fixed":
        return Tuple[inner, int], (value, count)
    return Optional[inner], draw(st.sampled_from([None, value]))


@given(annotated_values())
def test_what_crosses_arrives_as_it_was(pair):
    annotation, value = pair
    arrived = crossed(annotation, value)
    assert arrived == value
    assert type(arrived) is type(value)


@given(st.text())
def test_every_text_crosses_or_is_refused(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        with pytest.raises(ValueUnfit, match="value: text was wanted"):
            crossed(str, text)
    else:
        assert crossed(str, text) == text


def test_nan_and_its_kind():
    assert math.isnan(crossed(float, math.nan))
    assert crossed(Decimal, Decimal("NaN")).is_nan()
    assert str(crossed(Decimal, Decimal("1.500"))) == "1.500"


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Optional[List[int]], None), (Optional[List[int]], []), (List[Optional[int]], [None, 0]),
        (List[List[int]], [[], [1]]), (Dict[str, Optional[int]], {"a": None}), (Dict[int, List[int]], {1: []}),
        (Tuple[()], ()), (Optional[str], ""), (Wish, {"name": ""}),
        (Wish, {"name": "", "tags": []}), (Wish, {"name": "", "note": None}),
    ],
)  # fmt: skip
def test_nothing_and_empty_are_told_apart(annotation, value):
    assert crossed(annotation, value) == value


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (int, "5", "value: an integer was wanted, an object of type str was found"),
        (int, True, "value: an integer was wanted, an object of type bool was found"),
        (int, 2**63, "value: the integer is not between"),
        (int, 5.0, "an integer was wanted"),
        (timedelta, timedelta.max, "the duration is longer than 64 bits of microseconds can say"),
        (Decimal, Decimal("1E-999999"), "a Decimal of at most 10,000 digits was wanted"),
        (float, "x", "a number was wanted"),
        (float, 10**400, "too large for a float"),
        (date, datetime(2026, 1, 1), "a date was wanted"),
        (List[int], "12", "a list was wanted"),
        (List[int], [1, "2"], r"value\[1\]: an integer was wanted"),
        (Dict[str, int], [("a", 1)], "a dictionary was wanted"),
        (Dict[str, int], {1: 1}, r"value\[0\]\.key: text was wanted"),
        (Color, 2, "one of RED, BLUE was wanted"),
        (Level, "middle", "one of low, high was wanted"),
        (Tuple[int, int], (1,), "a tuple of 2 was wanted"),
        (Tree, {"name": "a"}, "an object of type Tree was wanted"),
        (Tree, Tree("a", [Tree("b", note=5)]), r"value\.children\[0\]\.note: text was wanted"),  # type: ignore[arg-type]
        (Wish, {"times": 1}, "the key 'name' is missing"),
        (Wish, {"name": "a", "tmes": 1}, "Wish has no key 'tmes'"),
        (str, None, "text was wanted, nothing was found"),
    ],
)
def test_what_does_not_fit_is_refused(annotation, value, problem):
    with pytest.raises(ValueUnfit, match=problem):
        crossed(annotation, value)


def test_no_sentence_holds_the_value():
    with pytest.raises(ValueUnfit) as caught:
        crossed(int, "hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_tree_too_deep_is_refused():
    tree = Tree("leaf")
    for _ in range(70):
        tree = Tree("branch", [tree])
    with pytest.raises(ValueUnfit, match="nested deeper than 60 levels"):
        crossed(Tree, tree)


def arrived(annotation: Any, fill: Any) -> Any:
    """What the other side makes of a message that a caller has filled by itself."""
    made = method(annotation)
    request = made.method.request()
    fill(request)
    return made.arguments(made.method.request.FromString(request.SerializeToString()))["value"]


@pytest.mark.parametrize(
    ("annotation", "sent", "problem"),
    [
        (UUID, "{12345678-1234-5678-1234-567812345678}", "a UUID was wanted, and what arrived is none"),
        (date, "20260102", "a date was wanted"),
        (datetime, "yesterday", "a datetime was wanted"),
        (Decimal, "one", "a Decimal of at most 10,000 digits was wanted"),
        (Decimal, "1E+999999999", "a Decimal of at most 10,000 digits was wanted"),
        (Color, "GREEN", "one of RED, BLUE was wanted"),
    ],
)
def test_what_arrives_is_checked(annotation, sent, problem):
    with pytest.raises(ValueUnfit, match=problem):
        arrived(annotation, lambda request: setattr(request, "value", sent))


def test_a_missing_field_is_named():
    with pytest.raises(ValueUnfit, match=r"^value: it is missing$"):
        arrived(int, lambda request: None)
    with pytest.raises(ValueUnfit, match=r"^value\.name: it is missing$"):
        arrived(Tree, lambda request: request.value.SetInParent())


def test_no_message_makes_more_objects_than_the_host_can_stand():
    def fill(request: Any) -> None:
        request.value.extend([0] * (MAX_ITEMS + 1))

    with pytest.raises(ValueUnfit, match="the message has more than 250,000 items"):
        arrived(List[int], fill)


@pytest.mark.parametrize("annotation", [Set[UUID], FrozenSet[UUID], Dict[UUID, int]])
def test_what_would_take_a_host_hours_to_sort_is_refused(annotation):
    """Python's hash of a UUID is its number modulo this one."""
    modulus = 2**61 - 1
    alike = dict.fromkeys((UUID(int=number * modulus) for number in range(MAX_ALIKE + 1)), 1)
    with pytest.raises(ValueUnfit, match="more than 100 of them have the same hash"):
        crossed(annotation, alike if annotation == Dict[UUID, int] else set(alike))
    alike.popitem()
    others = {UUID(int=number): 1 for number in range(1, 5000)}
    value = alike | others
    sent = value if annotation == Dict[UUID, int] else set(value)
    assert crossed(annotation, sent) == sent


def test_a_key_that_comes_twice_is_refused():
    def fill(request: Any) -> None:
        for _ in range(2):
            request.value.add(key="a", value=1)

    with pytest.raises(ValueUnfit, match="its items make no dictionary: a key comes twice"):
        arrived(Dict[str, int], fill)


def test_pydantic_refuses_in_its_own_words():
    def fill(request: Any) -> None:
        request.value.size = -5

    with pytest.raises(ValueUnfit, match="Model refuses it: Size: Input should be greater than 0"):
        arrived(Model, fill)


def test_defaults_are_the_receivers():
    assert arrived(Tree, lambda request: setattr(request.value, "name", "a")) == Tree("a")
    assert arrived(Point, lambda request: setattr(request.value, "x", 1)) == Point(1, 7)
