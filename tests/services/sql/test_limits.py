"""What one statement may take of the host's memory, of its disk, and of time in which it cannot be stopped."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sql_worlds import HostWorld, closing_world, unscoped

from moorage.broker.services.sql.connection import SqliteLimits
from moorage_proto.sqlite_limits import MAX_VALUE_BYTES, SLOW_VALUE_BYTES, value_bytes
from moorage_sdk import sql
from moorage_sdk.errors import DeadlineExceeded
from moorage_sdk.scope import entered
from moorage_sdk.services.sql.state import EXECUTE

ALL = ("sql.read:**", "sql.write:**", "sql.define:**")
UP = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up{}) "


@pytest.fixture
def connection(patient_host: HostWorld) -> sql.Connection:
    return unscoped(patient_host.worker(*ALL))


TOO_BIG = [
    f"SELECT length(hex(zeroblob({MAX_VALUE_BYTES // 2})))",
    f"SELECT {', '.join(['zeroblob(1000000)'] * 40)}",
    f"SELECT {', '.join(['z'] * 40)} FROM (SELECT zeroblob(1000000) AS z)",
    "SELECT zeroblob(1000000), zeroblob(1000000), zeroblob(1000000), zeroblob(1000000)",
    "SELECT instr(hex(zeroblob(400000)), hex(zeroblob(200000)) || '1')",
    "SELECT trim(hex(zeroblob(20000)), '1')",
    "SELECT replace(hex(zeroblob(20000)), '1', '')",
    "SELECT json_array(hex(zeroblob(20000)))",
    "SELECT group_concat(hex(zeroblob(100000))) FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9]')",
]

FITTING = [
    f"SELECT length(zeroblob({MAX_VALUE_BYTES}))",
    f"SELECT {', '.join(['zeroblob(30000)'] * 40)}",
    "SELECT zeroblob(1000000), zeroblob(1000000), zeroblob(1000000)",
    "SELECT instr(hex(zeroblob(5000)), '1'), trim('//a//', '/'), replace('aa', 'a', 'b'), json_array('x', 1)",
    "SELECT trim(hex(zeroblob(20000)))",
    "SELECT group_concat(hex(zeroblob(10000))) FROM json_each('[1, 2, 3, 4, 5, 6, 7, 8, 9]')",
]


@pytest.mark.parametrize("statement", TOO_BIG)
def test_what_is_too_big_is_refused(connection: sql.Connection, statement: str) -> None:
    with pytest.raises(sql.DataError, match=r"string or blob too big: a value may|A row has more"):
        connection.execute(statement)
    assert connection.execute(FITTING[0]).fetchone() == (MAX_VALUE_BYTES,)


@pytest.mark.parametrize("statement", FITTING)
def test_what_is_not_is_not(connection: sql.Connection, statement: str) -> None:
    assert connection.execute(statement).fetchall()


def test_a_check_that_calls_a_slow_function_counts(connection: sql.Connection) -> None:
    connection.execute("CREATE TABLE checked (x CHECK (trim(x, 'y') != ''))")
    connection.execute("INSERT INTO checked VALUES (?)", ("x" * (SLOW_VALUE_BYTES - 100),))
    with pytest.raises(sql.DataError):
        connection.execute("INSERT INTO checked VALUES (?)", ("x" * (SLOW_VALUE_BYTES + 1),))


@pytest.mark.parametrize("function", ["json_group_array(n)", "json_group_object(n, n)"])
def test_what_grows_without_bound_is_not_there(connection: sql.Connection, function: str) -> None:
    with pytest.raises(sql.NotSupportedError, match=r"group_concat\(json_quote"):
        connection.execute(f"{UP.format(' LIMIT 3')} SELECT {function} FROM up")
    bounded = "SELECT '[' || group_concat(json_quote(n)) || ']' FROM up"
    assert connection.execute(f"{UP.format(' LIMIT 3')} {bounded}").fetchone() == ("[1,2,3]",)


def test_patterns_are_short(connection: sql.Connection) -> None:
    with pytest.raises(sql.OperationalError, match="pattern too complex"):
        connection.execute("SELECT 'a' LIKE ?", ("%" * 257,))
    assert connection.execute("SELECT 'a' LIKE ?", ("%" * 256,)).fetchone() == (1,)


def test_a_statement_of_slow_functions_ends_after_one_of_them(connection: sql.Connection) -> None:
    """The clock is looked at after so many instructions only, which these take half a minute for."""
    slow = f"{UP.format('')} SELECT sum(instr(hex(zeroblob(8000)), hex(zeroblob(4000)) || n)) FROM up"
    connection.execute("SELECT 1")
    started = time.monotonic()
    request = connection._state.execute_request(slow, ())
    with pytest.raises(DeadlineExceeded), entered(connection._state.scope):
        connection._state.channel.call(EXECUTE, request, timeout=0.1)

    assert connection.execute("SELECT 2").fetchone() == (2,)
    assert time.monotonic() - started < 2


def test_the_file_grows_by_so_much_in_one_connection(tmp_path: Path) -> None:
    fill = f"{UP.format(' LIMIT 100')} INSERT INTO audit_log SELECT zeroblob(?) FROM up"
    with closing_world(HostWorld(tmp_path, SqliteLimits(growth_bytes=500_000))) as world:
        connection = unscoped(world.worker(*ALL))
        with pytest.raises(sql.OperationalError, match="has let the file grow"):
            connection.execute(fill, (10_000,))
        connection.rollback()
        connection.execute(fill, (1_000,))
        connection.commit()
        assert connection.execute("SELECT count(*) FROM audit_log").fetchone() == (100,)


def test_the_more_values_the_shorter_they_are() -> None:
    def program(opcode: str, name: str, times: int) -> list[tuple[object, ...]]:
        return [(0, opcode, 0, 0, 0, name)] * times

    assert value_bytes([]) == value_bytes(program("Function", "hex(1)", 16)) == MAX_VALUE_BYTES
    assert value_bytes(program("Column", "", 160)) == MAX_VALUE_BYTES // 10
    assert value_bytes([(0, "ResultRow", 1, 160, 0, "")]) == MAX_VALUE_BYTES // 10
    assert value_bytes(program("PureFunc", "trim(1)", 4)) == MAX_VALUE_BYTES
    assert value_bytes(program("PureFunc", "trim(2)", 1)) == SLOW_VALUE_BYTES
    assert value_bytes(program("PureFunc", "json_array(7)", 16)) == SLOW_VALUE_BYTES // 4
