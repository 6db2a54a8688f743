"""Brings a store to the schema of this version, or refuses one that is ahead."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from moorage.store import postgresql
from moorage.store.errors import NotAStore, SchemaNewer
from moorage.store.schema import REVISION

#: Alembic's environment is a module-wide variable: two hosts of one process must take turns.
_turn = threading.Lock()


def migrate(connection: Connection) -> None:
    """Runs what is missing, inside the connection's transaction. Hosts that start at the same time take turns.

    Raises SchemaNewer, NotAStore.
    """
    lock(connection)
    if check(connection) != REVISION:
        upgrade(connection, "head")


def lock(connection: Connection) -> None:
    """Until the transaction ends, nobody else changes the tables."""
    if connection.dialect.name == "postgresql":
        postgresql.lock_migrations(connection)


def check(connection: Connection) -> str | None:
    """The revision that it has; None: it is empty. Raises SchemaNewer, NotAStore."""
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        _check_empty(connection)
    elif current != REVISION and current not in known_revisions():
        raise SchemaNewer(current, REVISION)
    return current


def upgrade(connection: Connection, revision: str) -> None:
    """Up to that one."""
    config = _configuration()
    config.attributes["connection"] = connection
    with _turn:
        command.upgrade(config, revision)


def known_revisions() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(_configuration()).walk_revisions()}


def _configuration() -> Config:
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _check_empty(connection: Connection) -> None:
    tables = inspect(connection).get_table_names()
    foreign = sorted(set(tables) - {"alembic_version"})
    if foreign:
        raise NotAStore(foreign)
