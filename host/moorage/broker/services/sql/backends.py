"""The databases that the host's settings name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from moorage.broker.services.sql.base import Database
from moorage.broker.services.sql.sqlite import SqliteDatabase
from moorage.config.settings import SettingsInvalid, SqlBackend
from moorage.models.installation import InstallationId


def databases(
    settings: Mapping[str, SqlBackend], most_cpus: Callable[[InstallationId], float | None]
) -> dict[str, Database]:
    """``most_cpus``: CPU cores that an installation's statements may take of the host's; None: any.

    Raises SettingsInvalid; the sentence never holds the URL, which may hold a password."""
    return {name: _database(name, backend.url, most_cpus) for name, backend in settings.items()}


def _database(name: str, text: str, most_cpus: Callable[[InstallationId], float | None]) -> Database:
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
    return SqliteDatabase(name, Path(url.database), most_cpus=most_cpus)
