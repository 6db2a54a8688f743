"""How an execution ends is recorded once, and decides what becomes of what it wrote."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.models.execution import ExecutionRequest, ExecutionState

TIMEOUT_SECONDS = 30

WRITER = """
    from moorage_sdk import Context, Plugin
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    def complain(name: str) -> None:
        raise LookupError(f"no {name}")

    @plugin.task
    def execute(ctx: Context, db: Connection, input: str) -> str:
        db.cursor().execute("INSERT INTO users (name) VALUES (?)", (input,))
        if input == "late":
            ctx.wait_cancelled(60)
        if input == "bad":
            complain(input)
        if input == "huge":
            return "x" * 1_100_000
        if input == "large":
            return "x" * 1_000_000
        if input == "dangling":
            db.cursor().execute("INSERT INTO badges (user_id) VALUES (4711)")
        return input
"""
RIGHTS = ("sql.read:users", "sql.write:users", "sql.write:badges", "sql.read:badges")


@pytest.fixture
async def writer(host: Host, database: Path, tmp_path: Path) -> Host:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE badges (user_id INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)")
    await host.install(write_plugin(tmp_path, WRITER, required=RIGHTS), grant_required=True)
    return host


def names(database: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM users ORDER BY id")]


async def test_what_succeeds_is_committed(writer: Host, database: Path) -> None:
    assert await writer.call("probe", input="good") == "good"
    assert names(database) == ["Ada", "Grace", "good"]


async def test_a_task_that_takes_too_long_is_timed_out_and_rolled_back(writer: Host, database: Path) -> None:
    request = ExecutionRequest("probe", input="late", timeout=timedelta(seconds=0.5))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        execution = await writer.run(request)

    assert execution.state is ExecutionState.TIMED_OUT
    assert execution.error is not None
    assert "0.5 s" in execution.error.message
    assert names(database) == ["Ada", "Grace"]
    # The writer lock is free, and the worker still there.
    assert await writer.call("probe", input="next") == "next"
    assert names(database) == ["Ada", "Grace", "next"]


async def test_a_task_that_raises_has_failed_with_its_own_traceback(writer: Host, database: Path) -> None:
    execution = await writer.run(ExecutionRequest("probe", input="bad"))

    assert execution.state is ExecutionState.FAILED
    error = execution.error
    assert error is not None
    assert error.type == "LookupError"
    assert "no bad" in error.message
    assert 'File "/plugin/probe.py"' in error.traceback
    assert "in complain" in error.traceback
    assert "moorage_sdk" not in error.traceback
    assert "asyncio" not in error.traceback
    assert names(database) == ["Ada", "Grace"]


async def test_a_result_that_is_too_large_to_keep_is_a_failure(writer: Host, database: Path) -> None:
    assert len(await writer.call("probe", input="large")) == 1_000_000

    execution = await writer.run(ExecutionRequest("probe", input="huge"))

    assert execution.state is ExecutionState.FAILED
    assert execution.error is not None
    assert "the result has 1,100,004 bytes, and at most 1,048,576 are kept with an execution" in execution.error.message
    assert execution.result is None
    assert names(database) == ["Ada", "Grace", "large"]


async def test_a_commit_that_fails_is_a_failure(writer: Host, database: Path) -> None:
    """The constraint is deferred: every statement works, and the commit after the task's return does not."""
    execution = await writer.run(ExecutionRequest("probe", input="dangling"))

    assert execution.state is ExecutionState.FAILED
    assert execution.error is not None
    assert "FOREIGN KEY" in execution.error.message
    assert execution.result is None
    assert names(database) == ["Ada", "Grace"]
    assert await writer.call("probe", input="next") == "next"
