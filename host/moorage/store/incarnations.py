"""The history of workers: each start, and why it ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from moorage.models.incarnation import IncarnationState, IncarnationStatus, Verdict, VerdictKind
from moorage.models.installation import InstallationId
from moorage.store import schema
from moorage.store.database import Database

_table = schema.incarnations

#: Workers of one installation that are remembered; a verdict may hold some 200 KB.
KEPT = 500


class Incarnations:
    def __init__(self, database: Database, host: str = "") -> None:
        self._database = database
        self._host = host

    async def next_number(self, installation: InstallationId) -> int:
        """The number of the installation's next start, from 1. Each is handed out once, also after a removal."""

        def work(connection: Connection) -> int:
            counters = schema.counters
            name = f"incarnation/{installation}"
            one_more = update(counters).where(counters.c.name == name).values(value=counters.c.value + 1)
            if connection.execute(one_more).rowcount == 0:
                connection.execute(insert(counters).values(name=name, value=1))
            return int(connection.execute(select(counters.c.value).where(counters.c.name == name)).scalar_one())

        return await self._database.write(work)

    async def record(self, status: IncarnationStatus) -> bool:
        """Writes what is known of it now: at its start, and at each change. False: it has a verdict, which stays."""

        def work(connection: Connection) -> bool:
            state = connection.scalar(select(_table.c.state).where(_table.c.id == status.id))
            if state is None:
                connection.execute(insert(_table).values(id=status.id, host=self._host, **_values(status)))
            elif state != IncarnationState.STOPPED:
                connection.execute(update(_table).where(_table.c.id == status.id).values(_values(status)))
            if status.state is IncarnationState.STOPPED:
                _forget_the_oldest(connection, status)
            return bool(state != IncarnationState.STOPPED)

        return await self._database.write(work)

    async def list(self, installation: InstallationId, *, limit: int = 20) -> tuple[IncarnationStatus, ...]:
        """Newest first."""
        statement = select(_table).where(_table.c.installation == installation)
        statement = statement.order_by(_table.c.number.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_status(row) for row in rows)

    async def living(self, host: str | None = None) -> tuple[IncarnationStatus, ...]:
        """Those of this host, or of another one, without a verdict; after its start, those that died with it before."""
        own = _table.c.host == (self._host if host is None else host)
        statement = select(_table).where(own, _table.c.state != IncarnationState.STOPPED).order_by(_table.c.started_at)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(_status(row) for row in rows)


def _forget_the_oldest(connection: Connection, newest: IncarnationStatus) -> None:
    """A worker that dies day and night must not fill the disk with its verdicts."""
    outdated = (_table.c.installation == newest.installation) & (_table.c.number <= newest.number - KEPT)
    connection.execute(delete(_table).where(outdated, _table.c.state == IncarnationState.STOPPED))


def _values(status: IncarnationStatus) -> dict[str, Any]:
    return {
        "installation": status.installation,
        "number": status.number,
        "state": status.state,
        "pid": status.pid,
        "start": status.start,
        "sandbox_level": status.sandbox_level,
        "started_at": status.started_at,
        "ready_at": status.ready_at,
        "stopped_at": status.stopped_at,
        "python": status.python,
        "protobuf": status.protobuf,
        "grpcio": status.grpcio,
        **_verdict_values(status.verdict),
    }


def _verdict_values(verdict: Verdict | None) -> dict[str, Any]:
    if verdict is None:
        return {}
    return {
        "verdict_kind": verdict.kind,
        "verdict_sentence": verdict.sentence,
        "verdict_exit_code": verdict.exit_code,
        "verdict_signal": verdict.signal,
        "verdict_traceback": verdict.traceback,
        "verdict_stack": verdict.stack,
        "verdict_lines": list(verdict.lines),
    }


def _status(row: Row[Any]) -> IncarnationStatus:
    verdict = None
    if row.verdict_kind is not None:
        verdict = Verdict(
            VerdictKind(row.verdict_kind),
            row.verdict_sentence,
            row.verdict_exit_code,
            row.verdict_signal,
            row.verdict_traceback,
            # None: it was recorded before there were such columns.
            row.verdict_stack or "",
            tuple(row.verdict_lines or ()),
        )
    return IncarnationStatus(
        id=row.id,
        number=row.number,
        installation=row.installation,
        state=IncarnationState(row.state),
        pid=row.pid,
        start=row.start,
        sandbox_level=row.sandbox_level,
        started_at=row.started_at,
        ready_at=row.ready_at,
        stopped_at=row.stopped_at,
        verdict=verdict,
        python=row.python,
        protobuf=row.protobuf,
        grpcio=row.grpcio,
    )
