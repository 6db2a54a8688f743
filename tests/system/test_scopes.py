"""What belongs to one execution is out of reach for every other, whoever names it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.events.events import ExecutionProgressed
from moorage.models.audit import AuditKind
from moorage.models.execution import ExecutionRequest, ExecutionState

TIMEOUT_SECONDS = 20

#: Reads users over a SQL connection that it names itself, in a scope that it names itself.
READER = """
    from moorage_sdk import Context, Plugin, channel, scope
    from moorage_sdk.errors import MoorageError
    from moorage_sdk.sql import Connection
    from moorage_proto import error_pb2, sql_pb2
    from moorage_proto.methods import service_methods

    EXECUTE = service_methods(sql_pb2, "SqlService")["execute"]
    plugin = Plugin()

    def read(scope_id: str, handle: int) -> list:
        request = sql_pb2.ExecuteRequest(connection=handle, statement="SELECT name FROM users")
        try:
            with scope.entered(scope.Scope(scope_id)):
                return ["rows", len(channel.current().call(EXECUTE, request).rows)]
        except MoorageError as error:
            return [error_pb2.Reason.Name(error.reason), error.message]

    @plugin.task
    def hold(ctx: Context, db: Connection) -> str:
        db.cursor().execute("SELECT name FROM users")
        ctx.progress(0.5)
        ctx.wait_cancelled(60)
        return "held"

    @plugin.task
    def own(ctx: Context, db: Connection) -> list:
        db.cursor().execute("SELECT name FROM users")
        return [ctx.execution, *read(ctx.execution, 1)]

    @plugin.task
    def without(ctx: Context) -> list:
        return read(ctx.execution, 1)

    @plugin.task
    def reach(input: str) -> list:
        return read(input, 1)
"""


@pytest.fixture
async def two(host: Host, tmp_path: Path) -> Host:
    """Two installations with equal rights."""
    for name in ("owner", "thief"):
        await host.install(write_plugin(tmp_path, READER, name=name, required=["sql.read:users"]), grant_required=True)
    return host


@pytest.fixture
async def held(two: Host) -> AsyncIterator[str]:
    """An execution of "owner" that holds a connection and goes on."""
    async with asyncio.timeout(TIMEOUT_SECONDS), two.events.subscribe(ExecutionProgressed) as progressed:
        execution = await two.submit(ExecutionRequest("owner", "hold"))
        async for _ in progressed:
            break
    yield execution.id
    # Nobody has disturbed it.
    assert (await two.execution(execution.id)).state is ExecutionState.RUNNING
    await two.cancel(execution.id)


async def denials(host: Host, installation: str) -> list[str]:
    entries = await host.audit(installation=installation)
    return [entry.message for entry in entries if entry.kind is AuditKind.DENIED]


async def test_an_execution_reaches_its_own_connection(two: Host) -> None:
    _, outcome, count = await two.call("thief", "own")
    assert (outcome, count) == ("rows", 2)


async def test_the_live_scope_of_another_installation_is_refused(two: Host, held: str) -> None:
    reason, sentence = await two.call("thief", "reach", held)

    assert reason == "SCOPE_CLOSED"
    assert f"{held!r} has ended, or is not one of this worker's" in sentence
    assert await denials(two, "thief") == [sentence]
    assert await denials(two, "owner") == []


async def test_the_incarnation_of_another_installation_is_refused(two: Host, held: str) -> None:
    incarnation = (await two.installation("owner")).incarnations[0].id

    reason, sentence = await two.call("thief", "reach", incarnation)

    assert reason == "SCOPE_CLOSED"
    assert await denials(two, "thief") == [sentence]


async def test_the_handle_of_another_installation_means_nothing(two: Host, held: str) -> None:
    assert (await two.execution(held)).state is ExecutionState.RUNNING

    reason, sentence = await two.call("thief", "without")

    assert reason == "HANDLE_UNKNOWN"
    assert "names nothing that this scope holds" in sentence


async def test_the_scope_of_a_finished_execution_is_refused(two: Host) -> None:
    finished, outcome, _ = await two.call("thief", "own")
    assert outcome == "rows"

    reason, sentence = await two.call("thief", "reach", finished)

    assert reason == "SCOPE_CLOSED"
    assert await denials(two, "thief") == [sentence]


@pytest.mark.parametrize("scope", ["", "e-", "../owner", "\x1b[31m"])
async def test_a_scope_that_never_was_is_refused(two: Host, scope: str) -> None:
    reason, sentence = await two.call("thief", "reach", scope)

    assert reason == "SCOPE_CLOSED"
    assert "\x1b" not in sentence
