"""Values of PostgreSQL's types that cross the link in another form than psycopg gives them."""

from __future__ import annotations

import enum
import ipaddress
import json
from datetime import date
from decimal import Decimal

import pytest

from moorage_sdk.services.sql.readers import row_readers, written
from moorage_sdk.sql import BINARY, DATETIME, NUMBER, ROWID, STRING, Range


class Colour(enum.Enum):
    RED = "r"


def read(name, value, **more):
    readers = row_readers([name], **more)
    return value if readers is None or readers[0] is None else readers[0](value)


@pytest.mark.parametrize(
    ("name", "sent", "given"),
    [
        ("json", '{"a": [1, null]}', {"a": [1, None]}),
        ("jsonb", "null", None),
        ("jsonb", None, None),
        ("jsonb[]", ["1", None, '"x"'], [1, None, "x"]),
        ("inet", "10.0.0.1", ipaddress.ip_address("10.0.0.1")),
        ("inet", "10.0.0.1/8", ipaddress.ip_interface("10.0.0.1/8")),
        ("cidr", "10.0.0.0/8", ipaddress.ip_network("10.0.0.0/8")),
        ("inet[]", [["::1"]], [[ipaddress.ip_address("::1")]]),
        ("int4range", {"lower": 1, "upper": 5, "bounds": "[)", "empty": False}, Range(1, 5)),
        ("int4range", {"lower": None, "upper": None, "bounds": "()", "empty": True}, Range(empty=True)),
        ("int4multirange", [{"lower": 1, "upper": 5, "bounds": "[)", "empty": False}], [Range(1, 5)]),
        ("record", [1, "a"], (1, "a")),
        ("int4", 1, 1),
        ("", "red", "red"),
        ("cidr", None, None),
        ("record", None, None),
        ("int4range", None, None),
        ("int4multirange", None, None),
        ("inet", None, None),
    ],
)
def test_values(name, sent, given):
    assert read(name, sent) == given


def test_json_is_read_as_the_connection_was_told():
    assert read("json", "1.10", loads=lambda text: json.loads(text, parse_float=Decimal)) == Decimal("1.10")


def test_rows_of_plain_types_are_left_alone():
    assert row_readers(["int4", "text", ""]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Range(1, 5), '["1","5")'),
        (Range(None, date(2026, 1, 1), "(]"), '(,"2026-01-01"]'),
        (Range(empty=True), "empty"),
        (Range('a"b', None), '["a\\"b",)'),
    ],
)
def test_ranges_as_postgresql_reads_them(value, text):
    assert str(value) == text


def test_type_objects():
    assert NUMBER == "int4"
    assert DATETIME == "timestamptz"
    assert STRING != "int4"
    assert BINARY == "bytea"
    assert ROWID == "oid"
    assert len({NUMBER, STRING, BINARY, DATETIME, ROWID}) == 5
    assert NUMBER != None  # noqa: E711 - what SQLite's columns have for a type code


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Range(1, 5), '["1","5")'),
        (ipaddress.ip_interface("10.0.0.1/8"), "10.0.0.1/8"),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        ([Range(1, 5), None], ['["1","5")', None]),
        (Colour.RED, "RED"),
        (1, 1),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_what_is_written_as_text(value, sent):
    assert written(value) == sent
