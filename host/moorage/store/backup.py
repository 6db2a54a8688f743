"""Backs a store up into one file, and brings it back from there, into either database.

Both work on the database itself: a back-up may be made while hosts use it, and is of one moment; restoring asks that
none does, and is one transaction. Neither knows the tables: a back-up of an older schema is restored as that schema,
and then migrated, as the store itself would have been.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, DateTime, MetaData, Table, func, insert, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError, StatementError

from moorage import __version__
from moorage.store import migrate
from moorage.store.archive import ArchiveReader, ArchiveWriter, BackupManifest, TableManifest, reading
from moorage.store.database import sentence
from moorage.store.engine import for_migrating, for_reading, make_engine, prepare_file
from moorage.store.errors import (
    BackupDamaged,
    BackupExists,
    BackupNewer,
    HostsRunning,
    NoStore,
    StoreFailed,
    StoreNotEmpty,
)
from moorage.store.postgresql import Timeouts

_REVISIONS = "alembic_version"

#: Rows fetched, and inserted, at one time.
_BATCH = 500


def back_up(url: URL, timeouts: Timeouts, file: Path) -> BackupManifest:
    """All of the store, as it is at one moment, into a new file for its owner alone.

    Blocks. Raises NoStore, BackupExists, StoreFailed; there is no file then.
    """
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise NoStore
    if file.exists():
        raise BackupExists(file)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as output:
                archive = ArchiveWriter(output)
                with _connected(url, timeouts, for_reading) as connection:
                    revision = _write(connection, archive)
                manifest = archive.close(revision, __version__)
                output.flush()
                os.fsync(output.fileno())
            # Not over one that came into being meanwhile.
            os.link(unfinished, file)
        finally:
            unfinished.unlink()
    except FileExistsError as error:
        raise BackupExists(file) from error
    except OSError as error:
        raise StoreFailed(f"{error.filename or file}: {error.strerror}") from error
    return manifest


def restore(url: URL, timeouts: Timeouts, file: Path, *, replace: bool = False) -> BackupManifest:
    """What the file holds becomes the store, all of it or nothing. ``replace``: also where there are rows already.

    Blocks. The caller has made sure that no host of this machine uses it. Raises BackupForeign, BackupNewer,
    BackupDamaged, StoreNotEmpty, HostsRunning, NotAStore, SchemaNewer, StoreFailed; nothing has changed then.
    """
    with reading(file) as archive:
        if archive.manifest.revision not in migrate.known_revisions():
            raise BackupNewer(file, f"its schema is {archive.manifest.revision}")
        archive.check()
        try:
            prepare_file(url)
        except OSError as error:
            raise StoreFailed(f"{error.filename}: {error.strerror}") from error
        with _connected(url, timeouts, for_migrating) as connection:
            _replace(connection, archive, file, replace=replace)
        return archive.manifest


def is_empty(url: URL, timeouts: Timeouts) -> bool:
    """Whether there is nothing that restoring would do away with. Blocks. Raises StoreFailed."""
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return True
    with _connected(url, timeouts, for_reading) as connection:
        return not _has_rows(connection, _reflected(connection))


@contextmanager
def _connected(url: URL, timeouts: Timeouts, engine_for: Any) -> Iterator[Connection]:
    """Within one transaction."""
    engine = make_engine(url, timeouts)
    try:
        with engine_for(engine).begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise sentence(error) from error
    finally:
        engine.dispose()


def _write(connection: Connection, archive: ArchiveWriter) -> str:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        raise NoStore
    streaming = connection.execution_options(stream_results=True, yield_per=_BATCH)
    for table in _reflected(connection).sorted_tables:
        columns = list(table.columns)
        key = [column.asc() for column in table.primary_key.columns]
        rows = streaming.execute(select(*columns).order_by(*key))
        archive.add(table.name, [column.name for column in columns], rows)
    return revision


def _replace(connection: Connection, archive: ArchiveReader, file: Path, *, replace: bool) -> None:
    migrate.lock(connection)
    migrate.check(connection)
    present = _reflected(connection)
    if _has_rows(connection, present):
        _check_no_hosts(connection, present)
        if not replace:
            raise StoreNotEmpty
    present.drop_all(connection)
    connection.execute(text(f"DROP TABLE IF EXISTS {_REVISIONS}"))
    migrate.upgrade(connection, archive.manifest.revision)
    tables = _reflected(connection)
    _check_tables(tables, archive, file)
    told = {table.name: table for table in archive.manifest.tables}
    for table in tables.sorted_tables:
        try:
            _insert(connection, table, told[table.name], archive)
        except OperationalError:
            raise
        except (StatementError, TypeError, ValueError, OverflowError) as error:
            # What the database says of a value, or SQLAlchemy, or the driver.
            raise BackupDamaged(file, f"a row of {table.name} does not fit into its table") from error
    migrate.migrate(connection)


def _insert(connection: Connection, table: Table, told: TableManifest, archive: ArchiveReader) -> None:
    kinds = [isinstance(table.c[name].type, DateTime) for name in told.columns]
    naive = connection.dialect.name == "sqlite"
    rows = archive.rows(told)
    while batch := list(itertools.islice(rows, _BATCH)):
        connection.execute(insert(table), [_values(told.columns, kinds, row, naive=naive) for row in batch])
    number = table.c.get("id")
    if told.rows and connection.dialect.name == "postgresql" and number is not None and number.autoincrement is True:
        # The next row's number: what was inserted with its own has not counted.
        sequence = func.pg_get_serial_sequence(table.name, number.name)
        newest = select(func.max(number)).scalar_subquery()
        connection.execute(select(func.setval(sequence, newest)))


def _values(names: tuple[str, ...], instants: list[bool], row: list[Any], *, naive: bool) -> Mapping[str, Any]:
    values = dict(zip(names, row, strict=True))
    if naive:
        for name, is_instant in zip(names, instants, strict=True):
            value = values[name]
            if is_instant and isinstance(value, datetime):
                values[name] = value.astimezone(UTC).replace(tzinfo=None)
    return values


def _reflected(connection: Connection) -> MetaData:
    """The tables that there are, but for that of the migrations."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name != _REVISIONS)
    return found


def _has_rows(connection: Connection, tables: MetaData) -> bool:
    return any(connection.execute(select(table).limit(1)).first() is not None for table in tables.sorted_tables)


def _check_no_hosts(connection: Connection, tables: MetaData) -> None:
    """Of an SQLite store the lock on the state folder says so."""
    hosts = tables.tables.get("hosts")
    if connection.dialect.name == "postgresql" and hosts is not None:
        alive = select(hosts.c.name).where(hosts.c.leased_until > func.clock_timestamp())
        if found := sorted(connection.scalars(alive)):
            raise HostsRunning(found)


def _check_tables(tables: MetaData, archive: ArchiveReader, file: Path) -> None:
    there = {table.name: {column.name for column in table.columns} for table in tables.sorted_tables}
    told = {table.name: set(table.columns) for table in archive.manifest.tables}
    if there != told:
        raise BackupDamaged(file, "its tables are not those of its schema")
