"""Values come back as psycopg returns them: docs/services/sql.md has the table."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest
from postgres_worlds import PostgresWorld
from psycopg.types.range import Range
from sql_worlds import unscoped

from moorage_proto import sql_pb2, values
from moorage_proto.sql_pb2 import ExecuteRequest
from moorage_sdk import sql
from moorage_sdk.scope import entered
from moorage_sdk.services.sql.state import EXECUTE

pytestmark = pytest.mark.system

UNIQUE = UUID("12345678-1234-5678-1234-567812345678")

#: (expression, the column's type, what crosses)
RESULTS = [
    ("NULL::int", "int4", None),
    ("true", "bool", True),
    ("(-32768)::int2", "int2", -32768),
    ("(-2147483648)::int4", "int4", -2147483648),
    ("9223372036854775807::int8", "int8", 9223372036854775807),
    ("4294967295::oid", "oid", 4294967295),
    ("1.5::float4", "float4", 1.5),
    ("'NaN'::float8", "float8", "nan"),
    ("1e300::float8", "float8", 1e300),
    ("12345678901234567890.123456789::numeric", "numeric", Decimal("12345678901234567890.123456789")),
    ("99999999999999999999::numeric", "numeric", Decimal(99999999999999999999)),
    ("1.50::numeric(5, 2)", "numeric", Decimal("1.50")),
    ("'12.34'::money", "money", "$12.34"),
    ("'Björk'::text", "text", "Björk"),
    ("'x'::varchar(3)", "varchar", "x"),
    ("'x'::char(3)", "bpchar", "x  "),
    ("'x'::name", "name", "x"),
    ("'\\x00ff'::bytea", "bytea", b"\x00\xff"),
    ("date '2026-11-21'", "date", date(2026, 11, 21)),
    ("time '06:00:00.25'", "time", time(6, 0, 0, 250000)),
    ("timetz '06:00+02'", "timetz", time(6, tzinfo=timezone(timedelta(hours=2)))),
    ("timestamp '2026-11-21 06:00'", "timestamp", datetime(2026, 11, 21, 6)),
    ("timestamptz '2026-11-21 06:00+00'", "timestamptz", datetime(2026, 11, 21, 6, tzinfo=UTC)),
    ("interval '1 year 2 months 3 days 4 hours'", "interval", timedelta(days=365 + 60 + 3, hours=4)),
    ("interval '-1 microsecond'", "interval", timedelta(microseconds=-1)),
    (f"'{UNIQUE}'::uuid", "uuid", UNIQUE),
    ("'127.0.0.1'::inet", "inet", ipaddress.ip_address("127.0.0.1")),
    ("'10.1.2.3/8'::inet", "inet", ipaddress.ip_interface("10.1.2.3/8")),
    ("'10.0.0.0/8'::cidr", "cidr", ipaddress.ip_network("10.0.0.0/8")),
    ("'08:00:2b:01:02:03'::macaddr", "macaddr", "08:00:2b:01:02:03"),
    ("ARRAY[1, NULL, 3]", "int4[]", [1, None, 3]),
    ("ARRAY[[1, 2], [3, 4]]", "int4[]", [[1, 2], [3, 4]]),
    ("'{}'::text[]", "text[]", []),
    ("ARRAY[1.5, 2]::numeric[]", "numeric[]", [Decimal("1.5"), Decimal(2)]),
    ("'101'::bit(3)", "bit", "101"),
    ("'a b'::tsvector", "tsvector", "'a' 'b'"),
    ("'(1,2)'::point", "point", "(1,2)"),
    ("'<a/>'::xml", "xml", "<a/>"),
    ("'happy'::mood", "", "happy"),
    ("5::positive", "int4", 5),
    ("ROW(1, 'x'::text)", "record", ["1", "x"]),
]

#: What crosses as something simpler, for the driver to make of it what psycopg would have returned.
SIMPLER = [
    ("'{\"a\": [1, 2.5, null]}'::json", "json", '{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
    ("'{\"a\": 1}'::jsonb", "jsonb", '{"a": 1}', {"a": 1}),
    ("'null'::jsonb", "jsonb", "null", None),
    ("ARRAY['{\"a\": 1}']::jsonb[]", "jsonb[]", ['{"a": 1}'], [{"a": 1}]),
    ("'[1,3)'::int4range", "int4range", {"lower": 1, "upper": 3, "bounds": "[)", "empty": False}, Range(1, 3)),
    ("'empty'::numrange", "numrange", {"lower": None, "upper": None, "bounds": "", "empty": True}, Range(empty=True)),
    (
        "'{[1,3)}'::int4multirange",
        "int4multirange",
        [{"lower": 1, "upper": 3, "bounds": "[)", "empty": False}],
        [Range(1, 3)],
    ),
]


@pytest.fixture
def connection(world: PostgresWorld) -> sql.Connection:
    world.rows(
        "DO $$ BEGIN CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN positive AS int CHECK (value > 0); "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    return unscoped(world.worker("sql.read:**", "sql.write:**", "sql.define:**"))


def sent(connection: sql.Connection, statement: str) -> tuple[object, str]:
    """The value as it crosses, and its column's type."""
    connection.execute("SELECT 1")
    with entered(connection._state.scope):
        request = ExecuteRequest(connection=connection._state.handle, statement=statement)
        reply: sql_pb2.ExecuteReply = connection._state.channel.call(EXECUTE, request)
    return values.from_wire(reply.rows[0].values[0]), reply.columns[0].type


@pytest.mark.parametrize(("expression", "kind", "expected"), RESULTS)
def test_what_comes_back(world: PostgresWorld, connection, expression, kind, expected):
    crossed, told = sent(connection, f"SELECT {expression}")
    with psycopg.connect(world.server.url(database=world.names["main"])) as native:
        natively = native.execute(f"SELECT {expression}").fetchone()[0]

    assert told == kind
    if expected == "nan":
        assert crossed != crossed
        return
    if kind in ("inet", "cidr"):
        crossed = type(expected)(crossed)
    assert crossed == expected
    assert natively == (tuple(expected) if kind == "record" else expected)


@pytest.mark.parametrize(("expression", "kind", "expected", "native_value"), SIMPLER)
def test_what_crosses_as_something_simpler(world: PostgresWorld, connection, expression, kind, expected, native_value):
    crossed, told = sent(connection, f"SELECT {expression}")
    with psycopg.connect(world.server.url(database=world.names["main"])) as native:
        natively = native.execute(f"SELECT {expression}").fetchone()[0]

    assert (told, crossed) == (kind, expected)
    assert (list(natively) if kind == "int4multirange" else natively) == native_value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int2", 5),
        ("int8", 2**40),
        ("numeric", 2**80),
        ("numeric", Decimal("1.50")),
        ("float8", 1.5),
        ("bool", True),
        ("text", "Björk '\\"),
        ("bytea", b"\x00\xff"),
        ("date", date(2026, 11, 21)),
        ("time", time(6, 0, 0, 250000)),
        ("timestamp", datetime(2026, 11, 21, 6)),
        ("timestamptz", datetime(2026, 11, 21, 6, tzinfo=UTC)),
        ("interval", timedelta(days=3, microseconds=5)),
        ("uuid", UNIQUE),
        ("int4[]", [1, None, 3]),
        ("text[]", ["a", "b,c"]),
        ("text[]", []),
        ("mood", "happy"),
        ("positive", 5),
    ],
)
def test_parameters_go_in_as_they_come_out(connection, kind, value):
    connection.execute(f"CREATE TABLE kept (a {kind})")
    connection.execute("INSERT INTO kept VALUES ($1)", (value,))

    assert connection.execute("SELECT a FROM kept").fetchone() == (value,)
    assert connection.execute(f"SELECT count(*) FROM kept WHERE a = $1::{kind}", (value,)).fetchone() == (1,)


@pytest.mark.parametrize("kind", ["json", "jsonb"])
def test_records_go_into_json(connection, kind):
    value = {"a": [1, None, {"b": "ö"}]}
    connection.execute(f"CREATE TABLE kept (a {kind})")

    connection.execute("INSERT INTO kept VALUES ($1)", (value,))

    found = connection.execute("SELECT a FROM kept").fetchone()[0]
    assert isinstance(found, Mapping)
    assert found == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [("inet", "10.0.0.1/8"), ("int4range", "[1,3)"), ("jsonb", '{"a": 1}'), ("numeric", "1.5"), ("point", "(1,2)")],
)
def test_texts_become_what_the_column_is(connection, kind, text):
    connection.execute(f"CREATE TABLE kept (a {kind})")
    connection.execute("INSERT INTO kept VALUES ($1)", (text,))

    assert connection.execute("SELECT a::text FROM kept").fetchone() == (text,)


@pytest.mark.parametrize("expression", ["'infinity'::date", "'infinity'::timestamptz", "'4713-01-01 BC'::date"])
def test_dates_that_python_has_not(connection, expression):
    with pytest.raises(sql.DataError):
        connection.execute(f"SELECT {expression}")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_text_with_a_null_character(connection):
    with pytest.raises(sql.Error, match="null character"):
        connection.execute("SELECT $1", ("a\x00b",))
