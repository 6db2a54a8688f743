"""The present transaction of one brokered connection, if it has one: the real connection that it holds, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import psycopg

from moorage.broker.services.base import Guard
from moorage.broker.services.sql import refusals
from moorage.broker.services.sql.base import Opening
from moorage.broker.services.sql.postgresql import failures
from moorage.broker.services.sql.postgresql.catalog import Catalog
from moorage.broker.services.sql.postgresql.facts import Relation
from moorage.broker.services.sql.postgresql.pool import Pool
from moorage.broker.services.sql.postgresql.running import Runner, finish_or_sever
from moorage.broker.services.sql.postgresql.session import OpenCursor, Session
from moorage_proto.errors import CallError
from moorage_proto.sqlite_access import is_covered

T = TypeVar("T")


class Place(Protocol):
    """Where an installation's statements run."""

    catalog: Catalog
    #: The installation has a role of its own in the database.
    is_role: bool
    #: Of all of its connections.
    cursors: int
    connections: int

    async def ready(self, user: object, guard: Guard, relations: Mapping[tuple[str, str], Relation]) -> None:
        """Before a connection is taken, and before a statement runs that touches the relations: the role is there, and
        has the rights that the guard's grants say, as long as the user does not leave. Raises CallError.
        """

    def leave(self, user: object) -> None:
        """Its transaction has ended."""


class Transaction:
    """Its methods run one after another; whoever calls them sees to that."""

    def __init__(self, backend: str, opening: Opening, pool: Pool, place: Place, most_seconds: float) -> None:
        self.session: Session | None = None
        #: Why it is gone although the plugin has not ended it, which has to roll back to go on.
        self.lost: CallError | None = None
        #: This one, or one before it on the same connection.
        self.has_written = False
        self.since: datetime | None = None
        self._backend = backend
        self._opening = opening
        self._pool = pool
        self._place = place
        self._runner = Runner(opening.label, most_seconds)

    async def ready(self, guard: Guard, deadline: float | None) -> Session:
        """In a transaction, or about to begin one. Raises CallError."""
        if self.session is None:
            try:
                await self._place.ready(self, guard, {})
                await self._take(deadline)
            except BaseException:
                self._place.leave(self)
                raise
        assert self.session is not None, "one was taken"
        return self.session

    async def allow(self, guard: Guard, relations: Mapping[tuple[str, str], Relation]) -> None:
        """The role may do with these what the guard's grants say. Raises CallError."""
        await self._place.ready(self, guard, relations)

    async def run(self, session: Session, work: Coroutine[Any, Any, T], deadline: float | None) -> T:
        """Raises CallError, and Forbidden where the work does."""
        try:
            return await self._runner.run(session.connection, work, deadline)
        except asyncio.CancelledError:
            self._look(session, refusals.statement_cancelled())
            raise
        except (psycopg.Error, CallError) as error:
            told = (
                error
                if isinstance(error, CallError)
                else failures.translate(error, self._backend, tells_rows=self._place.is_role)
            )
            self._look(session, told)
            raise told from None

    async def again(self, work: Callable[[], Awaitable[T]]) -> T:
        """A connection that rested may have died meanwhile. Where nothing was done on it yet, another one does it."""
        is_first = self.session is None
        try:
            return await work()
        except CallError as error:
            if not (is_first and self._is_lost_by(error)):
                raise
        self.lost = None
        self._pool.forget(self._opening.installation)
        try:
            return await work()
        except CallError as error:
            if self._is_lost_by(error):
                # Nothing was done in it.
                self.lost = None
            raise

    async def cancel(self) -> None:
        await self._runner.cancel()

    async def commit(self, deadline: float | None) -> None:
        """Raises CallError; where that is PostgreSQL's, the transaction is gone, and has to be acknowledged as lost."""
        session = self.session
        if session is None:
            return
        try:
            await self.run(session, session.commit(), deadline)
        except CallError as error:
            # Where the connection is gone the answer did not come: it may have been committed or not.
            told = failures.commit_unknown(self._backend) if self.session is None else error
            if session.is_usable:
                # PostgreSQL rolls a transaction back whose commit fails, as when a deferred constraint does.
                self._give_up(session)
            if self.session is None:
                self.lost = told
            raise told from None
        self._give_up(session)

    async def roll_back(self) -> None:
        """It is gone afterwards, whatever becomes of the connection: to cut that off rolls back as well."""
        session = self.session
        if session is not None:
            await finish_or_sever(session.connection, session.rollback())
            self._give_up(session)
        self.lost = None

    async def note(self, mark: str) -> None:
        """In the same transaction: that the execution's work is committed. Raises CallError, also where another attempt
        of it has committed: such as that of a host that only seemed dead.
        """
        execution = self._opening.execution
        if not (mark and self.has_written and execution):
            return
        session = self.session or await self._take(None)
        if session.is_aborted:
            return
        try:
            await self.run(session, session.query(mark, (self._opening.installation, execution)), None)
        except CallError as error:
            if error.sql is not None and error.sql.sqlstate == failures.DUPLICATE:
                raise refusals.committed_before(execution) from None
            raise

    async def settle(self) -> bool:
        """After every turn; whether it goes on. One in which nothing was done would only be in the way."""
        if self.session is None:
            return False
        if not self.session.has_succeeded:
            await self.roll_back()
            return False
        self.since = self.since or datetime.now(UTC)
        return True

    def hold(self, cursor: OpenCursor) -> None:
        assert self.session is not None, "a statement was run in it"
        self.session.cursors.append(cursor)
        self._place.cursors += 1

    def close_cursor(self, cursor: OpenCursor) -> None:
        if self.session is not None and cursor in self.session.cursors:
            self.session.close_cursor(cursor)
            self._place.cursors -= 1

    def forget_cursors(self) -> None:
        if self.session is not None:
            self._place.cursors -= len(self.session.cursors)
            self.session.forget_cursors()

    def revoked(self) -> bool:
        """Whether it used what is no longer granted."""
        session = self.session
        if session is None:
            return False
        used = [*session.used.items(), *((each.needs, each.guard) for each in session.cursors if each.guard)]
        return not all(is_covered(needs, self._backend, guard) for needs, guard in used)

    async def _take(self, deadline: float | None) -> Session:
        connection = await self._pool.take(self._opening.installation, deadline)
        self.session = Session(self._backend, connection, self._opening.label)
        return self.session

    def _look(self, session: Session, why: CallError) -> None:
        """Whether a failure has taken the connection with it."""
        if not session.is_open and self.session is session:
            self._give_up(session)
            self.lost = why

    def _is_lost_by(self, error: CallError) -> bool:
        return self.lost is error and error.sql is not None and error.sql.sqlstate == failures.LOST

    def _give_up(self, session: Session) -> None:
        """Its connection goes back to the pool, or is closed: in the middle of a transaction that rolls back."""
        self.forget_cursors()
        if session.has_defined:
            self._place.catalog.forget()
        installation = self._opening.installation
        if session.is_usable:
            self._pool.give(installation, session.connection)
        else:
            self._pool.drop(installation, session.connection)
        self.session = None
        self.since = None
        self._place.leave(self)
