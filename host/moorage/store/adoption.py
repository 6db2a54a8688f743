"""What belonged to nobody, or to a host that cannot be there any more, is taken by the host that opens the store.

Rows of before there were several hosts belong to nobody. An SQLite store is used by one host at a time, whatever its id
is by now: the machine may have another name, or the file was restored on another one.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, delete, or_, select, update

from moorage.models.execution import ExecutionState
from moorage.store import schema

_OPEN = tuple(state for state in ExecutionState if not state.is_outcome)


def adopt(connection: Connection, host: str, *, alone: bool) -> None:
    """``alone``: no other host can use this store."""
    placements, uids = schema.placements, schema.uids
    executions, incarnations, triggers = schema.executions.c, schema.incarnations.c, schema.triggers.c
    for installation, other in _foreign(connection, placements, host, alone=alone):
        row = (placements.c.installation == installation) & (placements.c.host == other)
        _take(connection, placements, row, placements.c.installation == installation, host)
    for installation, other in _foreign(connection, uids, host, alone=alone):
        row = (uids.c.installation == installation) & (uids.c.host == other)
        uid = select(uids.c.uid).where(row).scalar_subquery()
        _take(connection, uids, row, or_(uids.c.installation == installation, uids.c.uid == uid), host)
    others = _is_foreign(schema.incarnations, host, alone=alone)
    connection.execute(update(schema.incarnations).where(others, incarnations.state != "stopped").values(host=host))
    others = _is_foreign(schema.executions, host, alone=alone)
    connection.execute(update(schema.executions).where(others, executions.state.in_(_OPEN)).values(host=host))
    if alone:
        connection.execute(update(schema.triggers).where(triggers.host != host, triggers.host != "").values(host=""))
        connection.execute(delete(schema.hosts).where(schema.hosts.c.id != host))


def _is_foreign(table: Table, host: str, *, alone: bool) -> ColumnElement[bool]:
    return table.c.host != host if alone else table.c.host == ""


def _foreign(connection: Connection, table: Table, host: str, *, alone: bool) -> list[tuple[str, str]]:
    """Installation and host, those that belong to nobody first."""
    statement = select(table.c.installation, table.c.host).where(_is_foreign(table, host, alone=alone))
    return [(row.installation, row.host) for row in connection.execute(statement.order_by(table.c.host))]


def _take(connection: Connection, table: Table, row: ColumnElement[bool], same: ColumnElement[bool], host: str) -> None:
    """Unless the host has one of its own in that place: then it goes."""
    if connection.execute(select(table.c.host).where(same, table.c.host == host)).first() is None:
        connection.execute(update(table).where(row).values(host=host))
    else:
        connection.execute(delete(table).where(row))
