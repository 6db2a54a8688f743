"""The contract between the SQL service and a database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from moorage.broker.scope import Held
from moorage.broker.services.base import Guard
from moorage.models.installation import InstallationId
from moorage_proto import sql_pb2
from moorage_proto.capability import Grants

#: As they are sent. Made in the thread that reads them: a hundred thousand values would hold the event loop.
Rows = sql_pb2.Rows


@dataclass(frozen=True, slots=True)
class Opening:
    """Who wants a connection, and for what."""

    installation: InstallationId
    #: For the database's own operators: "moorage/churn/e-9f2".
    label: str
    #: Whether the end of the scope commits it; otherwise it rolls back.
    scoped: bool
    #: Whose work it is; empty: of no execution.
    execution: str = ""


class Cursor(Held, Protocol):
    """Rows that were not sent yet. Its connection owns what stands behind it."""

    async def fetch(self, rows: int, deadline: float | None) -> Rows:
        """Some of the next rows, 0: as many as fit well; none: that was all.

        Raises CallError: its transaction has ended, the database failed.
        """


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement came to."""

    columns: Sequence[str]
    rows: Rows
    #: None when ``rows`` is all there is.
    cursor: Cursor | None
    #: PEP 249's: -1 when unknown.
    row_count: int
    last_row_id: int | None
    #: The database's names of the columns' types, as many as columns; none: it has none to tell.
    types: Sequence[str] = ()


class Connection(Held, Protocol):
    """One connection of one scope, shared with nobody. Its calls run one after another; it opens on first use.

    Every call decides each table and column through the guard before anything is read or written, and raises CallError.
    Deadlines are of the event loop's clock; a cancelled call leaves nothing running.
    """

    @property
    def transaction_since(self) -> datetime | None:
        """When the present transaction began; None: there is none."""

    async def execute(
        self, guard: Guard, statement: str, parameters: Sequence[Any], *, first_rows: int, deadline: float | None
    ) -> Answer:
        """Runs one statement, in the present transaction or a new one."""

    async def execute_many(
        self, guard: Guard, statement: str, rows: Sequence[Sequence[Any]], *, deadline: float | None
    ) -> Answer:
        """Runs one statement once for each of the rows."""

    async def inspect(
        self, guard: Guard, schema: str, names: Sequence[str], *, deadline: float | None
    ) -> sql_pb2.InspectReply:
        """What there is to which the caller has some right; with ``names``, these in full."""

    async def cancel(self) -> None:
        """Ends the call that runs on it at the moment, if any does: that one then raises CANCELLED."""

    async def commit(self, deadline: float | None) -> None:
        """Cursors end with it. When it raises, the transaction is still open."""

    async def rollback(self, deadline: float | None) -> None:
        """Cursors end with it. Also acknowledges a transaction that was rolled back from here."""


class Database(Protocol):
    """One named database of the host's settings."""

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name: "sqlite", "postgresql"."""

    @property
    def paramstyle(self) -> str:
        """PEP 249's, or SQLAlchemy's: "qmark", "numeric_dollar"."""

    @property
    def server_version(self) -> tuple[int, ...]:
        """Empty as long as a server was not reached."""

    async def open(self) -> None:
        """Before the first connection; raises MoorageError when it cannot be used at all."""

    def connect(self, opening: Opening) -> Connection:
        """Does not wait: the connection opens when it is first used. Raises CallError when the caller has too many."""

    async def committed(self, execution: str) -> bool:
        """Whether the host has committed what the execution did, as far as commits are noted in the database.

        False also where they are not (``commit_table``). Raises CallError when the database cannot be asked.
        """

    async def forget_commits(self, open_ones: Collection[str]) -> None:
        """Those that were noted long ago, but not of these executions: their outcome may have to be asked for yet.

        Raises CallError when the database cannot be asked.
        """

    async def plan(self, grants: Mapping[InstallationId, Grants]) -> str:
        """The SQL that gives these installations what they lack in the database; empty where it knows no roles.

        Raises CallError when the database cannot be asked.
        """

    async def forget(self, installation: InstallationId) -> None:
        """Of one that was removed: what was made for it in the database goes, but not its tables. Raises CallError."""

    async def close(self) -> None:
        """After the last connection was released."""
