"""PostgreSQL's words for types and constraints, as SQLAlchemy's inspector tells them."""

from __future__ import annotations

import warnings

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql.base import ischema_names

from moorage_sdk.services.sqlalchemy.postgresql_names import (
    check,
    column_type,
    foreign_key_options,
    names_schema,
    qualified_default,
    unquoted,
)

COLOUR = pg.ENUM("red", name="colour")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("integer", sa.INTEGER()),
        ("bigint[]", pg.ARRAY(sa.BIGINT())),
        ("integer[][]", pg.ARRAY(sa.INTEGER())),
        ("character varying(40)", sa.VARCHAR(40)),
        ("character varying", sa.VARCHAR()),
        ("character varying(40)[]", pg.ARRAY(sa.VARCHAR(40))),
        ("numeric(10,2)", sa.NUMERIC(10, 2)),
        ("numeric", sa.NUMERIC()),
        ("double precision", pg.DOUBLE_PRECISION(53)),
        ("timestamp(3) with time zone", pg.TIMESTAMP(timezone=True, precision=3)),
        ("timestamp without time zone", pg.TIMESTAMP()),
        ("time without time zone", pg.TIME()),
        ("interval year to month", pg.INTERVAL(fields="year to month")),
        ("interval(3)", pg.INTERVAL(precision=3)),
        ("interval", pg.INTERVAL()),
        ("bit varying(5)", pg.BIT(5, varying=True)),
        ("bit(3)", pg.BIT(3)),
        ("uuid", sa.UUID()),
        ("colour", COLOUR),
        ("colour[]", pg.ARRAY(COLOUR)),
    ],
)
def test_types(text, wanted):
    found = column_type(ischema_names, text, "c", "", lambda name: COLOUR if name == "colour" else None)

    assert repr(found) == repr(wanted)


def test_a_collation():
    assert column_type(ischema_names, "text", "c", "de_DE", lambda _: None).collation == "de_DE"


def test_a_type_that_nobody_knows():
    with pytest.warns(sa.exc.SAWarning, match="type 'strange' of column 'c'"):
        assert column_type(ischema_names, "strange", "c", "", lambda _: None) is sa.types.NULLTYPE


@pytest.mark.parametrize(
    ("name", "parts"),
    [("colour", ("colour",)), ("shop.colour", ("shop", "colour")), ('"A b"."c""d"', ("A b", 'c"d'))],
)
def test_names(name, parts):
    assert unquoted(name) == parts


@pytest.mark.parametrize(
    ("definition", "options"),
    [
        ("FOREIGN KEY (a) REFERENCES t(b)", {}),
        ("FOREIGN KEY (a) REFERENCES t(b) ON DELETE NO ACTION", {}),
        (
            "FOREIGN KEY (a) REFERENCES t(b) MATCH FULL ON UPDATE CASCADE ON DELETE SET NULL",
            {"onupdate": "CASCADE", "ondelete": "SET NULL", "match": "FULL"},
        ),
        (
            "FOREIGN KEY (a) REFERENCES t(b) DEFERRABLE INITIALLY DEFERRED",
            {"deferrable": True, "initially": "DEFERRED"},
        ),
        ("FOREIGN KEY (a, b) REFERENCES t(c, d) ON DELETE SET NULL (a)", {"ondelete": "SET NULL (a)"}),
    ],
)
def test_foreign_keys(definition, options):
    assert foreign_key_options(definition) == options


def test_a_table_that_is_not_found_without_its_schema():
    assert names_schema("FOREIGN KEY (a) REFERENCES shop.t(b)")
    assert names_schema('FOREIGN KEY (a) REFERENCES "S h"."t"(b)')
    assert not names_schema("FOREIGN KEY (a) REFERENCES t(b)")
    assert not names_schema('FOREIGN KEY (a) REFERENCES "a.b"(c)')


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        ("CHECK (x > 0)", ("x > 0", {})),
        ("CHECK ((x > 0))", ("x > 0", {})),
        ("CHECK ((x > 1) AND (x < 5))", ("(x > 1) AND (x < 5)", {})),
        ("CHECK ((a = '(' AND b = ')'))", ("a = '(' AND b = ')'", {})),
        ("CHECK (x > 0) NO INHERIT NOT VALID", ("x > 0", {"no_inherit": True, "not_valid": True})),
    ],
)
def test_checks(definition, told):
    assert check(definition) == told


def test_a_check_that_cannot_be_read():
    with pytest.warns(sa.exc.SAWarning, match="Could not parse"):
        assert check("EXCLUDE USING gist (c WITH &&)") == ("", {})


def test_defaults_that_take_a_sequence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert qualified_default("nextval('t_id_seq'::regclass)", "shop") == (
            "nextval('\"shop\".t_id_seq'::regclass)",
            True,
        )
    assert qualified_default("nextval('shop.t_id_seq'::regclass)", "shop") == (
        "nextval('shop.t_id_seq'::regclass)",
        True,
    )
    assert qualified_default("nextval('t_id_seq'::regclass)", None) == ("nextval('t_id_seq'::regclass)", True)
    assert qualified_default("now()", "shop") == ("now()", False)
