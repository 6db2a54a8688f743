import dataclasses
import enum
import typing
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Dict, List, Literal, NamedTuple, NewType, Optional, Tuple, TypedDict, Union
from uuid import UUID

import pydantic
import pydantic.v1
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto import values
from moorage_sdk.schema import AnnotationUnsupported, Mismatch, json_schema, shape_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@dataclass
class Track:
    title: str
    seconds: int = 0


@dataclass
class Album:
    """An album."""

    name: str
    tracks: List[Track] = field(default_factory=list)
    released: Optional[date] = None


@dataclass
class Tree:
    value: int
    children: "List[Tree]" = field(default_factory=list)


class Place(NamedTuple):
    name: str
    height: float = 0.0


class Options(TypedDict, total=False):
    limit: int
    name: typing.Required[str]


class Model2(pydantic.BaseModel):
    name: str = pydantic.Field(alias="theName")
    when: Optional[datetime] = None
    tags: List[str] = []


class Nested2(pydantic.BaseModel):
    inner: Model2


class Model1(pydantic.v1.BaseModel):
    name: str
    price: Decimal = Decimal(1)


class Nested1(pydantic.v1.BaseModel):
    inner: Model1


@dataclass
class Everything:
    text: str
    number: int
    real: float
    flag: bool
    raw: bytes
    day: date
    clock: time
    moment: datetime
    span: timedelta
    money: Decimal
    key: UUID
    colour: Colour
    mode: Literal["fast", "slow"]
    nested: Album
    place: Place
    pairs: Dict[str, int]
    fixed: Tuple[int, str]
    many: Tuple[int, ...]
    several: typing.Set[int]
    maybe: Optional[Track]
    either: Union[int, str]


tracks = st.builds(Track, st.text(), st.integers())
places = st.builds(Place, st.text(), st.floats(allow_nan=False))
albums = st.builds(Album, st.text(), st.lists(tracks, max_size=3), st.none() | st.dates())
finite = st.decimals(allow_nan=False, allow_infinity=False)
everything = st.builds(
    Everything,
    text=st.text(),
    number=st.integers(),
    real=st.floats(allow_nan=False),
    flag=st.booleans(),
    raw=st.binary(),
    day=st.dates(),
    clock=st.times(),
    moment=st.datetimes() | st.datetimes(timezones=st.just(timezone.utc)),
    span=st.timedeltas(timedelta(days=-(10**7)), timedelta(days=10**7)),  # the wire counts microseconds in 64 bits
    money=finite,
    key=st.uuids(),
    colour=st.sampled_from(Colour),
    mode=st.sampled_from(["fast", "slow"]),
    nested=albums,
    place=places,
    pairs=st.dictionaries(st.text(), st.integers(), max_size=3),
    fixed=st.tuples(st.integers(), st.text()),
    many=st.lists(st.integers(), max_size=3).map(tuple),
    several=st.sets(st.integers(), max_size=3),
    maybe=st.none() | tracks,
    either=st.integers() | st.text(),
)


def over_the_wire(value):
    return values.from_wire(type(values.to_wire(None)).FromString(values.to_wire(value).SerializeToString()))


@given(everything)
def test_what_is_written_is_read_back(value):
    shape = shape_of(Everything)
    assert shape.read(over_the_wire(shape.write(value, "result")), "input") == value


@given(st.recursive(st.builds(Tree, st.integers()), lambda kids: st.builds(Tree, st.integers(), st.lists(kids))))
def test_types_that_refer_to_themselves(tree):
    shape = shape_of(Tree)
    assert shape.read(over_the_wire(shape.write(tree, "result")), "input") == tree


JSON_FORMS = [
    (datetime, "2026-11-20T06:00:00Z", datetime(2026, 11, 20, 6, tzinfo=timezone.utc)),
    (date, "2026-11-20", date(2026, 11, 20)),
    (time, "06:00:00", time(6)),
    (timedelta, "PT1H30M", timedelta(hours=1, minutes=30)),
    (timedelta, 1.5, timedelta(seconds=1.5)),
    (Decimal, "1.50", Decimal("1.50")),
    (Decimal, 0.1, Decimal("0.1")),
    (UUID, "12345678123456781234567812345678", UUID(int=0x12345678123456781234567812345678)),
    (bytes, "AQI=", b"\x01\x02"),
    (int, 5.0, 5),
    (float, 5, 5.0),
    (Colour, 2, Colour.BLUE),
]


@pytest.mark.parametrize(("annotation", "plain", "expected"), JSON_FORMS)
def test_values_are_read_from_what_json_can_say(annotation, plain, expected):
    found = shape_of(annotation).read(plain, "input")
    assert found == expected
    assert type(found) is type(expected)


REFUSED = [
    (Album, {"nam": "x"}, r"input: there is no field 'nam'; did you mean 'name'\?"),
    (Album, {}, "input: 'name' is missing"),
    (Album, [], "input: a record was wanted, a list was found"),
    (Album, {"name": "x", "tracks": [{"title": 3}]}, r"input.tracks\[0\].title: text was wanted, a number was found"),
    (Album, {"name": "x", "tracks": [{}, 1]}, r"input.tracks\[0\]: 'title' is missing"),
    (Album, {"name": "x", "released": "soon"}, "input.released: a date such as 2026-11-20 was wanted, text was found"),
    (int, True, "input: an integer was wanted, true or false was found"),
    (int, 5.5, "input: an integer was wanted"),
    (int, float("inf"), "input: an integer was wanted"),
    (date, datetime(2026, 1, 1), "input: a date such as .* was wanted, an instant was found"),
    (Colour, "green", "input: one of 'red', 2 was wanted"),
    (Colour, True, "input: one of"),
    (Literal["a", 1], True, "input: one of 'a', 1 was wanted"),
    (Dict[str, int], {"a": "b"}, "input.a: an integer was wanted"),
    (Dict[str, int], {1: 1}, "input: its keys must be text"),
    (Tuple[int, str], [1], "input: 2 items were wanted, 1 were found"),
    (Union[int, date], "x", "input: nothing that is allowed here fits .*integer.*date"),
    (Optional[int], "x", "^input: an integer was wanted, text was found$"),
    (Options, {"limit": 1}, "input: 'name' is missing"),
    (Decimal, "one", "input: a decimal number was wanted"),
    (bytes, "?", "input: binary data"),
    (Model2, {"when": 1}, "input.theName: Field required"),
    (Nested2, {"inner": {"theName": "x", "tags": [1]}}, r"input.inner.tags\[0\]: Input should be a valid string"),
    (Nested1, {"inner": {}}, "input.inner.name: field required"),
]


@pytest.mark.parametrize(("annotation", "value", "sentence"), REFUSED)
def test_refusals_name_the_field(annotation, value, sentence):
    with pytest.raises(Mismatch, match=sentence):
        shape_of(annotation).read(value, "input")


def test_refusals_never_show_the_value():
    with pytest.raises(Mismatch) as caught:
        shape_of(int).read("hunter2", "settings.port")
    assert "hunter2" not in str(caught.value)


RESULTS = [
    (Album, Track("x"), "result: an object of type Album was wanted, an object of type Track was found"),
    (Track, Track(3), "result.title: text was wanted, a number was found"),
    (int, None, "result: an integer was wanted, nothing was found"),
    (List[int], "abc", "result: a list was wanted, text was found"),
    (Any, object(), "result: an object of type object cannot cross"),
    (Options, {"name": "x", "size": 1}, "result: there is no field 'size'"),
    (Model2, 1, "result: an object of type Model2 was wanted"),
]


@pytest.mark.parametrize(("annotation", "value", "sentence"), RESULTS)
def test_results_of_another_type_are_refused(annotation, value, sentence):
    with pytest.raises(Mismatch, match=sentence):
        shape_of(annotation).write(value, "result")


def test_post_init_may_refuse():
    @dataclass
    class Positive:
        number: int

        def __post_init__(self):
            if self.number < 0:
                raise ValueError("the number is negative")

    with pytest.raises(Mismatch, match="input: Positive refuses it: the number is negative"):
        shape_of(Positive).read({"number": -1}, "input")


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        (Model2, {"theName": "x", "when": datetime(2026, 1, 1), "tags": ["a"]}),
        (Nested2, {"inner": {"theName": "x", "when": None, "tags": []}}),
        (Model1, {"name": "x", "price": Decimal("1.5")}),
        (Nested1, {"inner": {"name": "x", "price": Decimal(1)}}),
    ],
)
def test_pydantic_models_of_both_generations(model, plain):
    shape = shape_of(model)
    found = shape.read(over_the_wire(plain), "input")
    assert isinstance(found, model)
    assert shape.write(found, "result") == plain
    schema = json_schema(shape)
    assert schema["type"] == "object"
    assert set(schema["required"]) == set(plain) - {"when", "tags", "price"}


def test_json_schema_of_a_dataclass():
    assert json_schema(shape_of(Album)) == {
        "type": "object",
        "title": "Album",
        "description": "An album.",
        "properties": {
            "name": {"type": "string"},
            "tracks": {"type": "array", "items": {"$ref": "#/$defs/Track"}},
            "released": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
        },
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {
            "Track": {
                "type": "object",
                "title": "Track",
                "properties": {"title": {"type": "string"}, "seconds": {"type": "integer", "default": 0}},
                "required": ["title"],
                "additionalProperties": False,
            }
        },
    }


def test_json_schema_of_a_type_that_refers_to_itself_keeps_its_definition():
    schema = json_schema(shape_of(Tree))
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["properties"] == schema["properties"]


def test_schemas_of_two_classes_of_one_name_stay_apart():
    def make(kind):
        return dataclasses.make_dataclass("Same", [("x", kind)])

    schema = json_schema(shape_of(Tuple[make(int), make(str)]))
    assert len(schema["$defs"]) == 2


def test_schemas_cross_the_wire():
    for annotation in (Everything, Tree, Model2, Nested1, Options):
        schema = json_schema(shape_of(annotation))
        assert over_the_wire(schema) == schema


UserId = NewType("UserId", int)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Annotated[int, "x"], 1),
        (UserId, 1),
        (eval("int | None"), None),
        (list, [1, "a"]),
        (dict, {"a": [1]}),
        (Any, {"a": [1, None]}),
        (None, None),
        (Options, {"name": "x"}),
    ],
)
def test_further_spellings(annotation, value):
    shape = shape_of(annotation)
    assert shape.read(shape.write(value, "x"), "x") == value


def test_without_annotation_results_become_plain():
    value = {"colour": Colour.RED, "track": Track("x"), "model": Model1(name="x"), "set": {1}, "place": Place("x")}
    assert shape_of(Any).write(value, "result") == {
        "colour": "red",
        "track": {"title": "x", "seconds": 0},
        "model": {"name": "x", "price": Decimal(1)},
        "set": [1],
        "place": ["x", 0.0],
    }


@pytest.mark.parametrize("annotation", [complex, Dict[int, int], typing.Callable[[], int], "x"])
def test_unsupported_types_are_named(annotation):
    with pytest.raises(AnnotationUnsupported, match="cannot cross between host and plugin; there are dataclasses"):
        shape_of(annotation)
