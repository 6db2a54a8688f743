"""A plugin that asks for more than it was granted: a typed error, an audit entry, and nothing done."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.errors import MoorageError
from moorage.models.audit import AuditKind
from moorage.models.execution import ExecutionRequest, ExecutionState

SQL = """
    from moorage_sdk import Plugin
    from moorage_sdk.errors import CapabilityMissing
    from moorage_sdk.sql import Connection

    plugin = Plugin()

    @plugin.task
    def execute(db: Connection, input: str) -> list:
        try:
            cursor = db.cursor()
            cursor.execute(input)
            return [list(row) for row in cursor.fetchall()] if cursor.description else []
        except CapabilityMissing as missing:
            return ["refused", missing.capability, missing.remedy]
"""

OUTSIDE = {
    "plainly": "SELECT cents FROM salaries",
    "through a view": "SELECT * FROM everything",
    "in a subquery": "SELECT name FROM users WHERE id IN (SELECT user_id FROM salaries)",
    "in a common table expression": "WITH s AS (SELECT * FROM salaries) SELECT * FROM s",
    "quoted and qualified": 'SELECT * FROM main."SALARIES"',
    "in a union": "SELECT name FROM users UNION SELECT cents FROM salaries",
    "writing": "UPDATE salaries SET cents = 0",
    "deleting": "DELETE FROM salaries",
    "copying": "INSERT INTO users (name) SELECT cents FROM salaries",
}


@pytest.fixture
async def curious(host: Host, tmp_path: Path) -> Host:
    await host.install(write_plugin(tmp_path, SQL, required=["sql.read:users"]), grant_required=True)
    return host


def contents(database: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute("SELECT * FROM users, salaries ORDER BY 1, 3").fetchall()
    finally:
        connection.close()


async def test_what_is_granted_works(curious: Host) -> None:
    assert await curious.call("probe", input="SELECT name FROM users ORDER BY id") == [["Ada"], ["Grace"]]


@pytest.mark.parametrize("way", OUTSIDE)
async def test_a_table_outside_the_grant_is_refused_however_it_is_reached(
    curious: Host, database: Path, way: str
) -> None:
    before = contents(database)

    refused, capability, remedy = await curious.call("probe", input=OUTSIDE[way])

    assert refused == "refused"
    assert capability.startswith(("sql.read:", "sql.write:"))
    assert "moorage grant probe" in remedy
    assert capability in remedy
    assert contents(database) == before
    denials = [entry for entry in await curious.audit(installation="probe") if entry.kind is AuditKind.DENIED]
    assert capability in {entry.capability for entry in denials}


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH DATABASE '{file}' AS x",
        "PRAGMA writable_schema = 1",
        "SELECT * FROM sqlite_master",
        "VACUUM INTO '{file}'",
    ],
)
async def test_ways_out_of_the_database_are_shut(curious: Host, database: Path, tmp_path: Path, statement: str) -> None:
    before, target = contents(database), tmp_path / "out.db"

    execution = await curious.run(ExecutionRequest("probe", input=statement.format(file=target)))

    assert execution.state is ExecutionState.FAILED
    assert "capability" in execution.error.message
    denials = [entry for entry in await curious.audit(installation="probe") if entry.kind is AuditKind.DENIED]
    assert len(denials) == 1
    assert not target.exists()
    assert contents(database) == before


async def test_a_statement_that_another_plugin_prepared_is_decided_anew(curious: Host, tmp_path: Path) -> None:
    allowed = write_plugin(tmp_path, SQL, name="payroll", required=["sql.read:salaries"])
    await curious.install(allowed, grant_required=True)
    statement = "SELECT cents FROM salaries ORDER BY cents"

    for _ in range(3):
        assert await curious.call("payroll", input=statement) == [[100], [200]]
        assert (await curious.call("probe", input=statement))[0] == "refused"


KAFKA = """
    from moorage_sdk import Plugin
    from moorage_sdk.errors import CapabilityMissing
    from moorage_sdk.kafka import Producer

    plugin = Plugin()

    @plugin.task
    def execute(kafka: Producer, input: str) -> list:
        try:
            return [kafka.send(input, "hello").result(timeout=10).offset]
        except CapabilityMissing as missing:
            return ["refused", missing.capability, missing.remedy]
"""


async def test_a_topic_outside_the_grant_is_refused(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, KAFKA, required=["kafka.produce:mine"]), grant_required=True)

    assert await host.call("probe", input="mine") == [0]
    refused, capability, remedy = await host.call("probe", input="yours")

    assert (refused, capability) == ("refused", "kafka.produce:yours")
    assert "moorage grant probe 'kafka.produce:yours'" in remedy
    # Kafka makes a topic when it is first written to.
    topics = AdminClient({"bootstrap.servers": host.kafka_servers["main"]}).list_topics(timeout=10).topics
    assert "mine" in topics
    assert "yours" not in topics


async def test_a_grant_that_is_taken_back_ends_at_once(curious: Host) -> None:
    statement = "SELECT count(*) FROM users"
    assert await curious.call("probe", input=statement) == [[2]]

    await curious.revoke("probe", ["sql.read:users"])

    assert await curious.call("probe", input=statement) == [
        "refused",
        "sql.read:users",
        "moorage grant probe 'sql.read:users'",
    ]
    await curious.grant("probe", ["sql.read:users"])
    assert await curious.call("probe", input=statement) == [[2]]


async def test_less_than_was_asked_for_can_be_granted(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, SQL, optional=["sql.read:*"]), grant=["sql.read:users"])

    assert await host.call("probe", input="SELECT count(*) FROM users") == [[2]]
    assert (await host.call("probe", input="SELECT cents FROM salaries"))[0] == "refused"
    with pytest.raises(MoorageError, match="does not ask for"):
        await host.grant("probe", ["sql.write:users"])
