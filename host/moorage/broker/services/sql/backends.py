"""The databases that the host's settings name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from moorage.broker.services.sql.base import Database
from moorage.broker.services.sql.pace import PaceOf
from moorage.broker.services.sql.sqlite import SqliteDatabase
from moorage.config.services.sql import SqlBackend
from moorage.config.settings import SettingsInvalid


def databases(settings: Mapping[str, SqlBackend], pace_of: PaceOf) -> dict[str, Database]:
    """Raises SettingsInvalid; the sentence never holds the URL, which may hold a password."""
    return {name: _database(name, backend.url, pace_of) for name, backend in settings.items()}


def _database(name: str, text: str, pace_of: PaceOf) -> Database:
    try:
        url = make_url(text)
    except ArgumentError:
        raise SettingsInvalid(f"sql.{name}.url is not a SQLAlchemy URL; write sqlite:////path/to/app.db.") from None
    if url.get_backend_name() != "sqlite":
        problem = f"sql.{name}.url asks for {url.get_backend_name()}, and this version of the host knows SQLite only"
        raise SettingsInvalid(f"{problem}; write sqlite:////path/to/app.db.")
    if not url.database or url.database == ":memory:":
        problem = f"sql.{name}.url names no file, and every connection would have a database of its own"
        raise SettingsInvalid(f"{problem}; write sqlite:////path/to/app.db.")
    return SqliteDatabase(name, Path(url.database), pace_of=pace_of)
