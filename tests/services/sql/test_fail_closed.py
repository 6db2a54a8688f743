"""A column whose right counts only while the audit can be written, under SQLite's own authorizer."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from memory_link import SCOPE, RecordingAudit, connected, grants

from moorage.broker.broker import Broker
from moorage.broker.services.sql import SqlService
from moorage.broker.services.sql.pace import Pace
from moorage.config.services.sql import SqlBackend
from moorage_proto import sql_pb2
from moorage_proto.errors import CallError, Reason
from moorage_proto.methods import service_methods

SQL = service_methods(sql_pb2, "SqlService")


async def test_statements_that_read_it_are_refused_and_others_go_on(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "main.db")) as database:
        database.execute("CREATE TABLE users (id INTEGER, mail TEXT)")
        database.commit()
    audit = RecordingAudit()
    main = SqlBackend(url=f"sqlite:///{tmp_path / 'main.db'}")
    broker = Broker([SqlService.from_settings({"main": main}, lambda _: Pace(1))], audit)
    await broker.open()
    async with connected(broker, grants("sql.read:users", fail_closed=["sql.read:users(mail)"])) as link:
        opened = await link.worker.call(SQL["connect"], sql_pb2.ConnectRequest(), scope=SCOPE)

        async def execute(statement: str) -> None:
            request = sql_pb2.ExecuteRequest(connection=opened.connection, statement=statement)
            await link.worker.call(SQL["execute"], request, scope=SCOPE)

        audit.down = "store"
        for statement in ("SELECT mail FROM users", "SELECT * FROM users", "SELECT id FROM users WHERE mail = ''"):
            with pytest.raises(CallError, match=r"may use sql\.read:users\(.*mail\) only while the host's") as refused:
                await execute(statement)
            assert refused.value.reason == Reason.BACKEND_UNAVAILABLE
        await execute("SELECT id FROM users")
        await execute("SELECT count(*) FROM users")
        assert audit.in_full == []

        audit.down = ""
        await execute("SELECT mail FROM users")
        assert audit.in_full == ["sql.read:users(mail)"]
    await broker.close()
