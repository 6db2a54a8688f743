"""The databases that the host's settings name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from moorage.broker.services.sql.base import Database
from moorage.broker.services.sql.missing import MissingDatabase
from moorage.broker.services.sql.pace import PaceOf
from moorage.broker.services.sql.sqlite import SqliteDatabase
from moorage.config.services.sql import SqlBackend
from moorage.config.settings import SettingsInvalid

_EXAMPLE = "write sqlite:////path/to/app.db, or postgresql://user:password@server/database."


def databases(settings: Mapping[str, SqlBackend], pace_of: PaceOf) -> dict[str, Database]:
    """Raises SettingsInvalid; the sentence never holds the URL, which may hold a password."""
    return {name: _database(name, backend, pace_of) for name, backend in settings.items()}


def _database(name: str, settings: SqlBackend, pace_of: PaceOf) -> Database:
    url = _url(f"sql.{name}.url", settings.url)
    for installation, secret in settings.roles.items():
        _url(f"sql.{name}.roles.{installation}", secret.get_secret_value())
    kind = url.get_backend_name()
    if kind == "postgresql":
        return _postgres(name, settings)
    if kind != "sqlite":
        problem = f"sql.{name}.url asks for {kind}, and this version of the host knows SQLite and PostgreSQL"
        raise SettingsInvalid(f"{problem}: for others it has no way to decide what a statement touches; {_EXAMPLE}")
    if not url.database or url.database == ":memory:":
        problem = f"sql.{name}.url names no file, and every connection would have a database of its own"
        raise SettingsInvalid(f"{problem}; {_EXAMPLE}")
    return SqliteDatabase(name, Path(url.database), pace_of=pace_of, commit_table=settings.commit_table)


def _postgres(name: str, settings: SqlBackend) -> Database:
    try:
        # The client library is an extra of the host; it is not there, or loaded, where no settings ask for it.
        from moorage.broker.services.sql.postgresql.making import postgres_database  # noqa: PLC0415
    except ImportError:
        return MissingDatabase(name, "postgresql")
    return postgres_database(name, settings)


def _url(where: str, text: str) -> URL:
    try:
        return make_url(text)
    except ArgumentError:
        raise SettingsInvalid(f"{where} is not a SQLAlchemy URL; {_EXAMPLE}") from None
