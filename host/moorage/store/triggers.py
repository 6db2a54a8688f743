"""Triggers: what was declared, what people changed of it, and what became of each.

A row is what one origin declares. ``declare`` and ``put`` write the declaration and nothing else, so that a trigger
that keeps its id keeps its pause, its changes and its counters over restarts and upgrades. Where the schedule itself
becomes another (its kind, source or time zone), ``next_at`` is forgotten: whoever computes ticks computes it anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select, update

from moorage.models.installation import InstallationId
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.trigger import SCHEDULES, Declaration, TriggerId, TriggerState, with_changes
from moorage.store import schema
from moorage.store.database import Database
from moorage.store.errors import InstallationUnknown, TriggerExists, TriggerUnknown
from moorage.store.installations import revise

_table = schema.triggers
_triggers = TypeAdapter(Trigger)

#: Ids in one statement: SQLite takes 32,766 parameters.
_AT_ONCE = 1_000


class Triggers:
    """Those that were removed (``removed``) are among what is read; who listens and fires leaves them out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, installation: InstallationId | None = None) -> tuple[TriggerState, ...]:
        """All, or those of one installation ("": those that select); by id."""
        statement = select(_table).order_by(_table.c.id)
        if installation is not None:
            statement = statement.where(_of(installation))
        return await self._read(statement)

    async def find(self, ids: Collection[TriggerId]) -> tuple[TriggerState, ...]:
        """Those of these that there are; in no order."""
        wanted = tuple(ids)
        return await self._database.read(lambda connection: _find(connection, wanted))

    async def get(self, trigger: TriggerId) -> TriggerState:
        """Raises TriggerUnknown."""
        return await self._database.read(lambda connection: _get(connection, trigger))

    # -- what was declared -------------------------------------------------------------------------------------------

    async def declare(
        self, declarations: Iterable[Declaration], *, origins: Collection[Origin], of: InstallationId | None = None
    ) -> tuple[TriggerState, ...]:
        """What these origins say now, in the place of all that they said before: rows of theirs that are not among the
        declarations are deleted. One transaction; only what is new or another is written.

        ``of``: speaks of this installation alone ("": of those that select); None: of the whole store. A trigger of the
        same id that a person added stays as it is. Returns the new and the changed ones, in no order. Raises
        InstallationUnknown.
        """
        wanted = {declaration.id: declaration for declaration in declarations}
        scope = select(_table) if of is None else select(_table).where(_of(of))

        def work(connection: Connection) -> tuple[TriggerState, ...]:
            there = {row.id: row for row in connection.execute(scope)}
            gone = [row.id for row in there.values() if row.origin in origins and row.id not in wanted]
            for first in range(0, len(gone), _AT_ONCE):
                connection.execute(delete(_table).where(_table.c.id.in_(gone[first : first + _AT_ONCE])))
            written = _declare(connection, there, wanted.values())
            return _find(connection, written)

        return await self._database.write(work)

    async def put(self, declaration: Declaration) -> TriggerState:
        """One declaration, in the place of what was declared under its id; one that a person added stays as it is.

        Returns what counts now. Raises InstallationUnknown.
        """

        def work(connection: Connection) -> TriggerState:
            row = connection.execute(select(_table).where(_table.c.id == declaration.id)).one_or_none()
            _declare(connection, {} if row is None else {row.id: row}, [declaration])
            return _get(connection, declaration.id)

        return await self._database.write(work)

    async def add(self, declaration: Declaration, *, at: datetime) -> TriggerState:
        """A new one, as a person adds it. Raises TriggerExists (also where it was removed), InstallationUnknown."""

        def work(connection: Connection) -> TriggerState:
            if connection.scalar(select(_table.c.id).where(_table.c.id == declaration.id)) is not None:
                raise TriggerExists(declaration.id)
            _declare(connection, {}, [declaration])
            _set(connection, declaration.id, set_by=declaration.by, set_at=at)
            return _get(connection, declaration.id)

        return await self._database.write(work)

    # -- what people say ---------------------------------------------------------------------------------------------

    async def change(self, trigger: TriggerId, changes: Mapping[str, Any], *, by: str, at: datetime) -> TriggerState:
        """Parts of it, by name, beside those that were changed before: "source", "task", "input", "select", or an
        option (None: its default). A later declaration does not undo them. Raises TriggerUnknown.
        """

        def work(connection: Connection) -> TriggerState:
            before = _get(connection, trigger)
            return _put_changes(connection, before, {**before.changes, **changes}, by, at)

        return await self._database.write(work)

    async def undo(self, trigger: TriggerId, parts: Collection[str], *, by: str, at: datetime) -> TriggerState:
        """These parts are again as they were declared; no parts: all of them. Raises TriggerUnknown."""

        def work(connection: Connection) -> TriggerState:
            before = _get(connection, trigger)
            dropped = parts or before.changes.keys()
            kept = {name: value for name, value in before.changes.items() if name not in dropped}
            return _put_changes(connection, before, kept, by, at)

        return await self._database.write(work)

    async def remove(self, trigger: TriggerId, *, by: str, at: datetime) -> None:
        """A person's own is deleted; of a declared one it is remembered that it does not count.

        Raises TriggerUnknown.
        """

        def work(connection: Connection) -> None:
            if _get(connection, trigger).origin is Origin.PERSON:
                connection.execute(delete(_table).where(_table.c.id == trigger))
            else:
                _set(connection, trigger, removed=True, next_at=None, host="", set_by=by, set_at=at)

        await self._database.write(work)

    async def restore(self, trigger: TriggerId, *, by: str, at: datetime) -> TriggerState:
        """A declared one that was removed counts again. Raises TriggerUnknown."""
        return await self._set(trigger, removed=False, set_by=by, set_at=at)

    async def pause(self, trigger: TriggerId, reason: str, *, by: str) -> TriggerState:
        """Raises TriggerUnknown."""
        return await self._set(trigger, paused=True, paused_reason=reason, paused_by=by)

    async def resume(self, trigger: TriggerId) -> TriggerState:
        """Also where it is not paused. Raises TriggerUnknown."""
        return await self._set(trigger, paused=False, paused_reason="", paused_by="")

    async def tell_hosts(self, installation: InstallationId) -> None:
        """People have changed something of its triggers: by this other hosts notice. Raises InstallationUnknown."""
        await self._database.write(lambda connection: revise(connection, installation))

    # -- what becomes of it ------------------------------------------------------------------------------------------

    async def unscheduled(self) -> tuple[TriggerState, ...]:
        """Schedules that have no next tick: it was not computed yet, or there will be none."""
        return await self._read(
            select(_table).where(_table.c.next_at.is_(None), _table.c.kind.in_(SCHEDULES), ~_table.c.removed)
        )

    async def due(self, until: datetime) -> tuple[TriggerState, ...]:
        """Schedules with a tick at or before ``until`` that are not paused; the earliest first. By an index."""
        return await self._read(
            select(_table).where(_table.c.next_at <= until, ~_table.c.paused).order_by(_table.c.next_at)
        )

    async def later(self, than: datetime) -> tuple[TriggerState, ...]:
        """Schedules whose next tick is later, paused or not; in no order."""
        return await self._read(select(_table).where(_table.c.next_at > than))

    async def upcoming(self, limit: int) -> tuple[TriggerState, ...]:
        """The schedules that have the next ticks, for people; the earliest first. By an index."""
        statement = select(_table).where(_table.c.next_at.is_not(None), ~_table.c.paused)
        return await self._read(statement.order_by(_table.c.next_at).limit(limit))

    async def schedule(self, ticks: Mapping[TriggerId, tuple[datetime | None, datetime | None]]) -> None:
        """Sets next ticks without firing: id -> (the tick that it has, the one that it is to have). One that has
        another than that meanwhile keeps it. One transaction.
        """
        cases = [{"this": trigger, "had": had, "tick": tick} for trigger, (had, tick) in ticks.items()]

        def work(connection: Connection) -> None:
            for had_none in (True, False):
                fitting = [case for case in cases if (case["had"] is None) is had_none]
                if fitting:
                    connection.execute(_reschedule(had_none=had_none), fitting)

        await self._database.write(work)

    async def fire(
        self,
        trigger: TriggerId,
        due: datetime,
        next_at: datetime | None,
        *,
        last_at: datetime | None = None,
        execution: str = "",
        fired: int = 0,
        skipped: int = 0,
        problem: str = "",
    ) -> bool:
        """Goes on from the tick ``due`` to the next one, and counts what became of it; also where it was paused
        meanwhile. The one that does so is told True; False: another host did, or it was changed or removed meanwhile.

        ``last_at``: the tick that fired, where one did; ``execution``: what it started; ``skipped``: ticks dropped.
        """
        values: dict[str, Any] = {"next_at": next_at, "problem": problem}
        if last_at is not None:
            values["last_at"] = last_at
        if execution:
            values["last_execution"] = execution
        statement = (
            update(_table)
            .where(_table.c.id == trigger, _table.c.next_at == due)
            .values(fired=_table.c.fired + fired, skipped=_table.c.skipped + skipped, **values)
        )
        return await self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    async def fired(self, trigger: TriggerId, execution: str, *, at: datetime) -> None:
        """A source's signal has started an execution. Also where there is no such trigger any more."""
        counted = _table.c.fired + 1
        await self._change(trigger, fired=counted, last_at=at, last_execution=execution, problem="")

    async def skipped(self, trigger: TriggerId, count: int = 1) -> None:
        """Signals that were dropped by the trigger's own rules. Also where there is no such trigger any more."""
        await self._change(trigger, skipped=_table.c.skipped + count)

    async def problem(self, trigger: TriggerId, sentence: str) -> None:
        """Why it does not work at present; empty: it does. Also where there is no such trigger any more."""
        await self._change(trigger, problem=sentence)

    # -- sources that one host alone may listen to -------------------------------------------------------------------

    async def claim(self, trigger: TriggerId, host: str, *, dead: Collection[str] = ()) -> bool:
        """This host listens from now on, if none does but one of the dead. May be called again by the one that has it.

        False: another host listens, or there is no such trigger.
        """
        free = _table.c.host.in_(["", host, *dead])
        statement = update(_table).where(_table.c.id == trigger, free).values(host=host)
        return await self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    async def release(self, host: str, trigger: TriggerId | None = None) -> None:
        """This host listens no more to the one, or to any. Also where it did not."""
        statement = update(_table).where(_table.c.host == host)
        if trigger is not None:
            statement = statement.where(_table.c.id == trigger)
        await self._database.write(lambda connection: connection.execute(statement.values(host="")))

    async def _read(self, statement: Any) -> tuple[TriggerState, ...]:
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(map(_state, rows))

    async def _set(self, trigger: TriggerId, **values: Any) -> TriggerState:
        def work(connection: Connection) -> TriggerState:
            _set(connection, trigger, **values)
            return _get(connection, trigger)

        return await self._database.write(work)

    async def _change(self, trigger: TriggerId, **values: Any) -> None:
        statement = update(_table).where(_table.c.id == trigger).values(**values)
        await self._database.write(lambda connection: connection.execute(statement))


def _of(installation: InstallationId) -> ColumnElement[bool]:
    return _table.c.installation == installation if installation else _table.c.installation.is_(None)


def _find(connection: Connection, wanted: Sequence[TriggerId]) -> tuple[TriggerState, ...]:
    found: list[TriggerState] = []
    for first in range(0, len(wanted), _AT_ONCE):
        chosen = _table.c.id.in_(wanted[first : first + _AT_ONCE])
        found += map(_state, connection.execute(select(_table).where(chosen)))
    return tuple(found)


def _get(connection: Connection, trigger: TriggerId) -> TriggerState:
    row = connection.execute(select(_table).where(_table.c.id == trigger)).one_or_none()
    if row is None:
        raise TriggerUnknown(trigger)
    return _state(row)


def _set(connection: Connection, trigger: TriggerId, **values: Any) -> None:
    if connection.execute(update(_table).where(_table.c.id == trigger).values(**values)).rowcount != 1:
        raise TriggerUnknown(trigger)


def _declare(
    connection: Connection, there: Mapping[TriggerId, Row[Any]], declarations: Iterable[Declaration]
) -> Sequence[TriggerId]:
    """Returns those that are new or another."""
    declarations = list(declarations)
    _require_installations(connection, {found.installation for found in declarations if found.installation})
    new, changed = [], []
    for declaration in declarations:
        row = there.get(declaration.id)
        if row is None:
            new.append(_new_values(declaration))
        elif row.origin != Origin.PERSON and (values := _declared_again(row, declaration)):
            connection.execute(update(_table).where(_table.c.id == declaration.id).values(**values))
            changed.append(declaration.id)
    if new:
        connection.execute(insert(_table), new)
    return [values["id"] for values in new] + changed


def _require_installations(connection: Connection, wanted: set[InstallationId]) -> None:
    column = schema.installations.c.id
    if wanted and (missing := wanted - set(connection.scalars(select(column)))):
        raise InstallationUnknown(min(missing))


def _new_values(declaration: Declaration) -> dict[str, Any]:
    return {
        "id": declaration.id,
        "installation": declaration.installation or None,
        "removed": False,
        "paused": False,
        "paused_reason": "",
        "paused_by": "",
        "last_execution": "",
        "fired": 0,
        "skipped": 0,
        "problem": "",
        "host": "",
        "set_by": "",
        **_declared_values(declaration),
    }


def _declared_values(declaration: Declaration) -> dict[str, Any]:
    trigger = declaration.trigger
    return {
        "name": trigger.name,
        "kind": trigger.kind,
        "origin": declaration.origin,
        "trigger": _triggers.dump_python(trigger),
    }


def _declared_again(row: Row[Any], declaration: Declaration) -> dict[str, Any]:
    """What of the row becomes another; empty: nothing."""
    before = _state(row)
    declared = before.declared or before.trigger
    if declared == declaration.trigger and before.origin == declaration.origin:
        return {}
    after = with_changes(declaration.trigger, before.changes)
    return _declared_values(declaration) | _forgotten(before.trigger, after)


def _put_changes(
    connection: Connection, before: TriggerState, changes: Mapping[str, Any], by: str, at: datetime
) -> TriggerState:
    after = with_changes(before.declared or before.trigger, changes)
    forgotten = _forgotten(before.trigger, after)
    _set(connection, before.id, changes=dict(changes) or None, set_by=by, set_at=at, **forgotten)
    return _get(connection, before.id)


def _forgotten(before: Trigger, after: Trigger) -> dict[str, Any]:
    """What does not hold any more once it is another trigger."""
    if before == after:
        return {}
    return {"problem": ""} if _times(before) == _times(after) else {"problem": "", "next_at": None}


def _times(trigger: Trigger) -> tuple[object, ...]:
    """What ticks are computed from; jitter comes on top."""
    return (trigger.kind, trigger.source, trigger.options.get("timezone"))


def _reschedule(*, had_none: bool) -> Any:
    had = _table.c.next_at.is_(None) if had_none else _table.c.next_at == bindparam("had")
    fitting = update(_table).where(_table.c.id == bindparam("this"), had, ~_table.c.removed)
    return fitting.values(next_at=bindparam("tick"))


def _state(row: Row[Any]) -> TriggerState:
    declared = _triggers.validate_python(row.trigger)
    changes = row.changes or {}
    return TriggerState(
        id=row.id,
        trigger=with_changes(declared, changes) if changes else declared,
        origin=Origin(row.origin),
        installation=row.installation or "",
        paused=row.paused,
        paused_reason=row.paused_reason,
        paused_by=row.paused_by,
        next_at=row.next_at,
        last_at=row.last_at,
        last_execution=row.last_execution,
        fired=row.fired,
        skipped=row.skipped,
        problem=row.problem,
        set_by=row.set_by,
        set_at=row.set_at,
        declared=declared if changes else None,
        changes=changes,
        removed=row.removed,
        host=row.host,
    )
