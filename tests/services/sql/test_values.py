"""Values come back as the native driver and dialect return them, cell for cell, on the same database."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import ipaddress
import sqlite3
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from postgres_worlds import PostgresWorld
from psycopg.types.range import Range as NativeRange
from sql_worlds import HostWorld, Worker, scoped
from sqlalchemy.dialects import postgresql as pg

from moorage_sdk import channel as channels
from moorage_sdk import host as hosts
from moorage_sdk.host import HostFacts, SqlBackend
from moorage_sdk.scope import Scope, entered
from moorage_sdk.services.sqlalchemy import engine as _registers_the_dialects  # noqa: F401 - as its name says
from moorage_sdk.sql import Range

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")
UTC = dt.UTC


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@contextlib.contextmanager
def plugin(worker: Worker, dialect: str, paramstyle: str) -> Iterator[None]:
    """Engines made here are a plugin's."""
    hosts.install(HostFacts("churn", sql_backends={"main": SqlBackend("main", dialect, paramstyle)}))
    channels.install(worker.channel)
    try:
        with entered(Scope("e-1")):
            yield
    finally:
        channels.install(None)
        hosts.install(HostFacts(""))


def told(rows: Any) -> list[tuple[Any, ...]]:
    """Value and type of each cell; ranges as what they have in common."""
    return [tuple((type(_plain(cell)).__name__, _plain(cell)) for cell in row) for row in rows]


def _plain(cell: Any) -> Any:
    if isinstance(cell, NativeRange):
        return ("range", cell.lower, cell.upper, cell.bounds or "()", cell.isempty)
    if isinstance(cell, Range):
        return ("range", cell.lower, cell.upper, "()" if cell.empty else cell.bounds, cell.empty)
    if isinstance(cell, list) or type(cell).__name__ == "Multirange":
        return [_plain(each) for each in cell]
    if isinstance(cell, (float, Decimal)) and cell != cell:
        return "nan"
    return cell


SQLITE_VALUES = [
    None,
    0,
    -(2**63),
    2**63 - 1,
    0.1,
    1e300,
    float("inf"),
    "",
    "Björk \U0001f3b5",
    b"",
    bytes(range(256)),
    True,
    dt.date(2026, 11, 20),
    dt.datetime(2026, 11, 20, 6, 0, 0, 250000),
    dt.datetime(2026, 11, 20, 6, tzinfo=UTC),
    bytearray(b"x"),
    memoryview(b"y"),
]

SQLITE_COLUMNS = "anything, i INTEGER, r REAL, t TEXT, n NUMERIC, b BLOB, d DATE, ts TIMESTAMP, flag BOOLEAN"


@pytest.mark.filterwarnings("ignore:The default date")
def test_what_sqlite_stores_and_gives(patient_host: HostWorld):
    """Each value in a column of each affinity, written by one driver and read by both, each way."""
    marks = ", ".join("?" * 9)
    with contextlib.closing(sqlite3.connect(patient_host.paths["main"], isolation_level=None)) as native:
        native.execute(f"CREATE TABLE by_native ({SQLITE_COLUMNS})")
        native.execute(f"CREATE TABLE by_plugin ({SQLITE_COLUMNS})")
        worker = patient_host.worker(*ALL)
        connection = scoped(worker)
        for value in SQLITE_VALUES:
            connection.execute(f"INSERT INTO by_plugin VALUES ({marks})", (value,) * 9)
        connection.commit()
        native.executemany(f"INSERT INTO by_native VALUES ({marks})", [(value,) * 9 for value in SQLITE_VALUES])

        wanted = native.execute("SELECT * FROM by_native").fetchall()

        assert told(connection.execute("SELECT * FROM by_native")) == told(wanted)
        assert told(native.execute("SELECT * FROM by_plugin")) == told(wanted)
        assert told(connection.execute("SELECT * FROM by_plugin")) == told(wanted)
        ours, theirs = connection.execute("SELECT * FROM by_native"), native.execute("SELECT * FROM by_native")
        assert ours.description == theirs.description
        worker.end(success=True)


SQLITE_TYPES = [
    (sa.Integer, [0, -(2**31), None]),
    (sa.BigInteger, [2**63 - 1, None]),
    (sa.Boolean, [True, False, None]),
    (sa.Numeric(20, 4), [Decimal("12.5000"), Decimal("-0.0001"), None]),
    (sa.Numeric(asdecimal=False), [1.5, None]),
    (sa.Float, [0.1, None]),
    (sa.String(40), ["Björk", "", None]),
    (sa.Text, ["x" * 1000, None]),
    (sa.LargeBinary, [bytes(range(256)), b"", None]),
    (sa.Date, [dt.date(1, 1, 1), dt.date(2026, 11, 20), None]),
    (sa.Time, [dt.time(23, 59, 59, 999999), None]),
    (sa.DateTime, [dt.datetime(2026, 11, 20, 6, 0, 0, 250000), None]),
    (sa.DateTime(timezone=True), [dt.datetime(2026, 11, 20, 6), None]),
    (sa.Interval, [dt.timedelta(days=400, microseconds=3), dt.timedelta(0), None]),
    (sa.Uuid, [uuid.UUID(int=7), None]),
    (sa.Uuid(as_uuid=False), [str(uuid.UUID(int=7)), None]),
    (sa.Enum(Colour), [Colour.RED, None]),
    (sa.JSON, [{"a": [1, None, 1.5, "ö"]}, [], "text", 7]),
]


def _agree(stock: sa.Engine, ours: sa.Engine, kind: Any, values: list[Any]) -> None:
    """What either engine writes, both read as the same."""
    table = sa.Table("cells", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("cell", kind))
    rows = [{"id": number, "cell": value} for number, value in enumerate(values)]
    query = sa.select(table.c.cell).order_by(table.c.id)
    for writer in (stock, ours):
        table.create(ours)
        try:
            with writer.begin() as connection:
                connection.execute(table.insert(), rows)
            found = []
            for reader in (stock, ours):
                with reader.connect() as connection:
                    found.append(told(connection.execute(query)))
                    compared = sa.select(table.c.id).where(table.c.cell == rows[0]["cell"])
                    if not isinstance(table.c.cell.type, (sa.JSON, pg.TSVECTOR)) and rows[0]["cell"] is not None:
                        found[-1].append(tuple(connection.execute(compared).scalars()))
            assert found[0] == found[1]
            assert [row[0][1] for row in found[1][: len(values)]] == values
        finally:
            table.drop(ours)


@pytest.mark.parametrize(("kind", "values"), SQLITE_TYPES, ids=lambda value: repr(value)[:40])
def test_sqlalchemys_types_on_sqlite(patient_host: HostWorld, kind: Any, values: list[Any]):
    stock = sa.create_engine(f"sqlite:///{patient_host.paths['main']}")
    try:
        with plugin(patient_host.worker(*ALL), "sqlite", "qmark"):
            _agree(stock, sa.create_engine("sqlite+moorage:///main"), kind, values)
    finally:
        stock.dispose()


EXPRESSIONS = [
    "NULL",
    "true",
    "1::int2, 2::int4, 3::int8, (-9223372036854775808)::int8",
    "0.1::float4, 0.1::float8, 'NaN'::float8, 'Infinity'::float8",
    "1.50::numeric, 'NaN'::numeric, 12345678901234567890.123456789::numeric, 0::numeric(10, 4)",
    "'text', 'v'::varchar(3), 'c'::char(5), 'n'::name, 'x'::\"char\"",
    "'\\x00ff'::bytea",
    "date '2026-11-20', date '0001-01-01'",
    "time '06:00:00.25', timetz '06:00:00+02'",
    "timestamp '2026-11-20 06:00:00.25', timestamptz '2026-11-20 06:00:00+02'",
    "interval '1 day 2 hours', interval '-3 microseconds', interval '2 months 5 days', interval '1 year'",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "'{\"a\": [1, null, 1.5]}'::json, '[1, \"x\"]'::jsonb, 'null'::jsonb, '\"s\"'::jsonb",
    "ARRAY[1, 2, NULL], ARRAY[[1, 2], [3, 4]], '{}'::int[], ARRAY['a', 'b,\"c']",
    "ARRAY[1.5, 2]::numeric[], ARRAY[date '2026-11-20'], ARRAY['{\"a\": 1}'::jsonb], ARRAY[true, false]",
    "ARRAY['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid], ARRAY['10.0.0.1'::inet]",
    "'10.0.0.1'::inet, '10.0.0.1/8'::inet, '::1'::inet, '10.0.0.0/8'::cidr",
    "'08:00:2b:01:02:03'::macaddr, B'101', '12.34'::money, point '(1,2)'",
    "int4range(1, 5), int4range(1, 5, '[]'), numrange(NULL, 1.5), 'empty'::int4range, daterange(NULL, NULL)",
    "tstzrange('2026-11-20 06:00:00+00', '2026-11-21 06:00:00+00')",
    "int4multirange(int4range(1, 2), int4range(5, 6))",
    "row(1, 'a')",
    "count(*), sum(n), avg(n), max(n) FROM generate_series(1::int4, 10::int4) AS n",
    "'<a/>'::xml, to_tsvector('english', 'the fat cats'), '1 day'::interval * 2",
]


@pytest.mark.system
@pytest.mark.parametrize("expressions", EXPRESSIONS, ids=lambda text: text[:30])
def test_what_postgresql_gives(postgres: PostgresWorld, expressions: str):
    with psycopg.connect(postgres.server.url(database=postgres.names["main"])) as native:
        native.execute("SET timezone TO 'UTC'")
        wanted = native.execute(f"SELECT {expressions}")  # type: ignore[arg-type]  # the tests' own text
        with plugin(postgres.worker(*ALL), "postgresql", "numeric_dollar"):
            given = scoped(postgres.worker(*ALL)).execute(f"SELECT {expressions}")

            assert [column[0] for column in given.description] == [column.name for column in wanted.description]
            assert told(given) == told(wanted)


PARAMETERS = [
    None,
    True,
    1,
    2**40,
    2**70,
    0.1,
    Decimal("1.50"),
    "Björk",
    b"\x00\xff",
    dt.date(2026, 11, 20),
    dt.time(6, 0, 0, 250000),
    dt.datetime(2026, 11, 20, 6),
    dt.datetime(2026, 11, 20, 6, tzinfo=UTC),
    dt.timedelta(days=3, microseconds=5),
    uuid.UUID(int=7),
    Colour.RED,
    [1, 2, None],
    ["a", 'b"c,{}'],
    [[1, 2], [3, 4]],
    [],
]


@pytest.mark.system
@pytest.mark.parametrize("value", PARAMETERS, ids=repr)
def test_what_postgresql_takes(postgres: PostgresWorld, value: Any):
    """The same parameter to both: the same type and value come back."""
    query = "SELECT %s::int[]" if value == [] else "SELECT %s"
    with psycopg.connect(postgres.server.url(database=postgres.names["main"])) as native:
        native.execute("SET timezone TO 'UTC'")
        wanted = native.execute(query, (value,)).fetchall()  # type: ignore[arg-type]  # the tests' own text
    with plugin(postgres.worker(*ALL), "postgresql", "numeric_dollar"):
        assert told(scoped(postgres.worker(*ALL)).execute(query, (value,))) == told(wanted)


@pytest.mark.system
def test_what_crosses_as_text_to_postgresql(postgres: PostgresWorld):
    with plugin(postgres.worker(*ALL), "postgresql", "numeric_dollar"):
        connection = scoped(postgres.worker(*ALL))
        assert connection.execute("SELECT %s::jsonb", ({"a": [1, None]},)).fetchone() == ({"a": [1, None]},)
        assert connection.execute("SELECT %s::int4range", (Range(1, 5),)).fetchone() == (Range(1, 5),)
        several = [Range(1, 5), Range(empty=True), None]
        assert connection.execute("SELECT %s::int4range[]", (several,)).fetchone() == (
            [Range(1, 5), Range(empty=True), None],
        )
        address = ipaddress.ip_interface("10.0.0.1/8")
        assert connection.execute("SELECT %s::inet", (address,)).fetchone() == (address,)


POSTGRESQL_TYPES = [
    *[(kind, values) for kind, values in SQLITE_TYPES if not isinstance(kind, sa.DateTime)],
    (sa.SmallInteger, [-(2**15), None]),
    (sa.DateTime(timezone=True), [dt.datetime(2026, 11, 20, 6, tzinfo=UTC), None]),
    (sa.Double, [0.1, None]),
    (sa.Time(timezone=True), [dt.time(6, tzinfo=UTC), None]),
    (pg.JSONB, [{"a": [1, None, 1.5, "ö"]}, [], "text", 7]),
    (sa.ARRAY(sa.Integer), [[1, None, 3], [], None]),
    (pg.ARRAY(sa.Text, dimensions=2), [[["a", "b"], ["ö", '"%"']], None]),
    (pg.ARRAY(pg.UUID), [[uuid.UUID(int=7)], None]),
    (pg.ARRAY(sa.Numeric(10, 2)), [[Decimal("1.50")], None]),
    (pg.ARRAY(sa.Enum(Colour, name="hue")), [[Colour.RED, Colour.BLUE], [], None]),
    (pg.INET, [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_interface("10.0.0.1/8"), None]),
    (pg.CIDR, [ipaddress.ip_network("10.0.0.0/8"), None]),
    (pg.MACADDR, ["08:00:2b:01:02:03", None]),
    (pg.INT4RANGE, [pg.Range(1, 5), pg.Range(empty=True), None]),
    (pg.TSTZRANGE, [pg.Range(dt.datetime(2026, 11, 20, tzinfo=UTC), None), None]),
    (pg.INT4MULTIRANGE, [[pg.Range(1, 2), pg.Range(5, 6)], None]),
    (pg.BIT(3), ["101", None]),
    (pg.TSVECTOR, ["'cat' 'fat'", None]),
    (pg.BYTEA, [b"\x00", None]),
]


@pytest.mark.system
@pytest.mark.parametrize(("kind", "values"), POSTGRESQL_TYPES, ids=lambda value: repr(value)[:40])
def test_sqlalchemys_types_on_postgresql(postgres: PostgresWorld, kind: Any, values: list[Any]):
    url = postgres.server.url(database=postgres.names["main"]).replace("postgresql:", "postgresql+psycopg:", 1)
    # What plugins make is in their own schema.
    stock = sa.create_engine(url, connect_args={"options": "-c search_path=moorage_churn,public -c timezone=UTC"})
    try:
        with plugin(postgres.worker(*ALL), "postgresql", "numeric_dollar"):
            _agree(stock, sa.create_engine("postgresql+moorage:///main"), kind, values)
    finally:
        stock.dispose()
