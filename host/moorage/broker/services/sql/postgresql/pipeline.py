"""Several statements in one turn of the network, by the extended protocol: one statement each, whatever its text.

psycopg has pipelines of its own; theirs tell of a failure only some of the time, and log what follows from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import errors
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from moorage.broker.services.sql.postgresql import wire
from moorage.broker.services.sql.postgresql.raw import BoundedConnection

#: A statement with its placeholders $1, $2 and so on.
Command = tuple[str, Sequence[Any]]


@dataclass
class Reply:
    """What one statement came to; its values are read when they are asked for."""

    result: PGresult
    connection: BoundedConnection
    read: int = 0
    _transformer: Any = None

    @property
    def columns(self) -> tuple[str, ...]:
        names = (self.result.fname(index) or b"" for index in range(self.result.nfields))
        return tuple(name.decode() for name in names)

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(wire.type_name(self.result.ftype(index)) for index in range(self.result.nfields))

    @property
    def is_read(self) -> bool:
        return self.read >= self.result.ntuples

    @property
    def row_count(self) -> int:
        """Of rows returned, or changed; -1 where PostgreSQL tells none."""
        told = self.result.command_tuples
        return -1 if told is None else told

    def take(self, count: int) -> list[tuple[Any, ...]]:
        """Some of the next rows. Raises psycopg.DataError for a value that Python has none for."""
        if self._transformer is None:
            self._transformer = Transformer(self.connection)
            self._transformer.set_pgresult(self.result)
        first, self.read = self.read, min(self.read + count, self.result.ntuples)
        rows: list[tuple[Any, ...]] = self._transformer.load_rows(first, self.read, tuple)
        return rows


async def run(connection: BoundedConnection, commands: Sequence[Command]) -> list[Reply]:
    """One after another; what follows a failed one is not run. Raises psycopg.Error for the first that failed."""
    dumped = [_dumped(connection, command) for command in commands]
    results = await connection.wait(_generate(connection, dumped))
    for result in results:
        if result.status not in _GOOD:
            raise errors.error_from_result(result, "utf-8")
    return [Reply(result, connection) for result in results]


def _generate(connection: BoundedConnection, commands: Sequence[tuple[Any, ...]]) -> PQGen[list[PGresult]]:
    """A generator as psycopg's own. When it fails the connection is broken."""
    raw = connection.pgconn
    raw.enter_pipeline_mode()
    for command in commands:
        # Into libpq's buffer: all of them go in as few packets as they need.
        raw.send_query_params(*command)
    raw.pipeline_sync()
    yield from send(raw)
    found: list[list[PGresult]] = []
    while len(found) <= len(commands):
        found.append((yield from fetch_many(raw)))
    raw.exit_pipeline_mode()
    return [results[-1] for results in found[:-1]]


def _dumped(connection: BoundedConnection, command: Command) -> tuple[Any, ...]:
    """What libpq's PQsendQueryParams takes."""
    statement, parameters = command
    transformer = Transformer(connection)
    values = transformer.dump_sequence(parameters, [PyFormat.AUTO] * len(parameters))
    return (statement.encode(), values, transformer.types, transformer.formats)


_GOOD = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY})
