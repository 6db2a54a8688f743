"""A plugin written for PostgreSQL, tested on the kit's fake: its placeholders work, and SQLite answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from moorage_proto.capability import parse
from moorage_sdk import Plugin, sql
from moorage_sdk.testing import Moorage, TestedManifest

plugin = Plugin()

RIGHTS = ("sql.read:users", "sql.write:users")


@plugin.task
def execute(db: sql.Connection) -> list[str]:
    assert db.paramstyle == "pyformat"
    db.executemany("INSERT INTO users (name) VALUES (%s)", [("Ada",), ("100%",)])
    db.execute("INSERT INTO users (name) VALUES (%(name)s || %(name)s)", {"name": "a"})
    rows = db.execute("SELECT name FROM users WHERE name <> $2 AND name <> '$1' AND name LIKE $1", ("%", "Ada"))
    return [name for (name,) in rows]


@plugin.task
async def awaited(db: sql.AsyncConnection) -> int:
    cursor = await db.execute("SELECT %s + %s", (1, 2))
    return (await cursor.fetchone())[0]


@pytest.fixture
def moorage() -> Iterator[Moorage]:
    kit = Moorage(TestedManifest("churn", capabilities=tuple(map(parse, RIGHTS))))
    kit.sql.rows("CREATE TABLE users (name text)")
    yield kit
    kit.close()


def test_its_placeholders(moorage: Moorage):
    moorage.sql.paramstyle = "pyformat"

    assert moorage.run(execute).result == ["100%", "aa"]
    assert moorage.run(awaited).result == 3


def test_without_being_told_the_fake_takes_sqlites(moorage: Moorage):
    assert isinstance(moorage.run(awaited).error, sql.OperationalError)
