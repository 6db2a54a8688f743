"""Commits of a SQLite file that are noted with their execution."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sql_worlds import HostWorld, closing_world, scoped

from moorage.broker.services.sql.connection import SqliteLimits
from moorage.broker.services.sql.service import SqlService
from moorage.broker.services.sql.sqlite import SqliteDatabase
from moorage_proto.errors import CallError
from moorage_sdk import sql

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")
INSERT = "INSERT INTO tags (name) VALUES (?)"


class NotingWorld(HostWorld):
    def __init__(self, folder: Path, limits: SqliteLimits) -> None:
        super().__init__(folder, limits)
        self.database = SqliteDatabase("main", self.paths["main"], limits, commit_table=True)
        self.databases["main"] = self.database
        self.do(self.database.open())

    def close(self) -> None:
        self.do(self.database.close())
        super().close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[NotingWorld]:
    with closing_world(NotingWorld(tmp_path, SqliteLimits())) as made:
        yield made


def committed(world: NotingWorld, *executions: str) -> list[bool]:
    return [world.do(world.database.committed(each)) for each in executions]


def test_what_wrote_is_noted_in_the_same_transaction(world: NotingWorld):
    worker = world.worker(*ALL)
    for scope in ("e-2", "e-3", "e-4", "e-5"):
        worker.open_scope(scope)
    scoped(worker, "e-1").execute(INSERT, ("one",))
    worker.end(success=True, scope="e-1")
    scoped(worker, "e-2").execute("SELECT count(*) FROM tags").fetchall()
    worker.end(success=True, scope="e-2")
    early = scoped(worker, "e-3")
    early.execute(INSERT, ("early",))
    early.commit()
    early.execute("SELECT count(*) FROM tags").fetchall()
    worker.end(success=True, scope="e-3")
    scoped(worker, "e-4").execute(INSERT, ("undone",))
    worker.end(success=False, scope="e-4")

    assert committed(world, "e-1", "e-2", "e-3", "e-4", "e-5") == [True, False, True, False, False]
    assert world.rows("SELECT installation, execution FROM moorage_commit ORDER BY 2") == [
        ("churn", "e-1"),
        ("churn", "e-3"),
    ]


def test_of_two_attempts_that_both_come_to_their_commit_one_is_kept(world: NotingWorld):
    """Such as on a host that lost its lease, and on the one that took over."""
    first = world.worker(*ALL)
    scoped(first).execute(INSERT, ("first",))
    first.end(success=True)
    second = world.worker(*ALL)
    scoped(second).execute(INSERT, ("second",))

    with pytest.raises(CallError, match="Another attempt of e-1 has committed already"):
        second.end(success=True)

    assert committed(world, "e-1") == [True]
    assert world.rows("SELECT name FROM tags WHERE name IN ('first', 'second')") == [("first",)]


def test_what_could_not_be_committed_is_not_noted(world: NotingWorld):
    worker = world.worker(*ALL)
    connection = scoped(worker)
    connection.execute("CREATE TABLE late (id INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("INSERT INTO late VALUES (99)")

    with pytest.raises(CallError):
        worker.end(success=True)

    assert committed(world, "e-1") == [False]


def test_old_notes_go_but_for_executions_that_have_no_outcome_yet(world: NotingWorld):
    worker = world.worker(*ALL)
    for name in ("e-1", "e-2", "e-3"):
        if name != "e-1":
            worker.open_scope(name)
        scoped(worker, name).execute(INSERT, (name,))
        worker.end(success=True, scope=name)
    with contextlib.closing(sqlite3.connect(world.paths["main"], isolation_level=None)) as raw:
        raw.execute("UPDATE moorage_commit SET at = datetime('now', '-31 days') WHERE execution <> 'e-3'")

    world.do(world.database.open())
    assert committed(world, "e-1", "e-2", "e-3") == [True, True, True]
    world.do(world.database.forget_commits(["e-2"]))
    assert committed(world, "e-1", "e-2", "e-3") == [False, True, True]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM moorage_commit",
        "INSERT INTO moorage_commit (installation, execution) VALUES ('x', 'y')",
        "DROP TABLE moorage_commit",
    ],
)
def test_plugins_do_not_reach_it(world: NotingWorld, statement):
    with pytest.raises(sql.DatabaseError):
        scoped(world.worker(*ALL)).execute(statement)
    assert world.rows("SELECT * FROM moorage_commit") == []


def test_where_it_is_not_asked_for_nothing_is_noted(patient_host: HostWorld):
    worker = patient_host.worker(*ALL)
    scoped(worker).execute(INSERT, ("one",))
    worker.end(success=True)

    assert not patient_host.do(patient_host.databases["main"].committed("e-1"))
    assert patient_host.rows("SELECT name FROM sqlite_master WHERE name = 'moorage_commit'") == []


async def test_all_databases_that_note_commits_are_asked(tmp_path: Path):
    paths = {name: tmp_path / f"{name}.db" for name in ("first", "second", "other")}
    databases = {
        name: SqliteDatabase(name, path, SqliteLimits(), commit_table=name != "other") for name, path in paths.items()
    }
    service = SqlService(databases, noting=("first", "second"))
    await service.open()
    with contextlib.closing(sqlite3.connect(paths["second"])) as connection, connection:
        connection.execute("INSERT INTO moorage_commit (installation, execution) VALUES ('churn', 'e-1')")
    assert [await service.committed(each) for each in ("e-1", "e-2")] == [True, False]

    # Of one that cannot be asked nothing is known, unless another has noted it.
    with contextlib.closing(sqlite3.connect(paths["first"])) as connection, connection:
        connection.execute("DROP TABLE moorage_commit")
    assert await service.committed("e-1")
    with pytest.raises(CallError):
        await service.committed("e-2")
    await service.close()

    assert service.notes_commits
    assert not SqlService(databases).notes_commits
    assert not await SqlService(databases).committed("e-1")
