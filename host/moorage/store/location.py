"""Where the store is, as the settings say it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from moorage.config.store import StoreSettings
from moorage.store.engine import for_file
from moorage.store.errors import StoreUrlInvalid
from moorage.store.postgresql import Timeouts

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def location(settings: StoreSettings, file: Path) -> URL:
    """``file``: where it is when the settings say nothing. Raises StoreUrlInvalid."""
    if settings.url is None:
        return for_file(file)
    try:
        url = make_url(settings.url.get_secret_value())
    except (ArgumentError, ValueError):
        # Its text may quote the URL, and with it a password.
        raise StoreUrlInvalid("it cannot be read; percent-encode what is special in its parts") from None
    url = url.set(
        drivername="postgresql+psycopg",
        username=_expanded(url.username),
        password=_expanded(url.password),
        host=_expanded(url.host),
        database=_expanded(url.database),
    )
    if settings.password_file is None:
        return url
    if url.password:
        raise StoreUrlInvalid("it has a password, and store.password_file is set too; leave one of them out")
    return url.set(password=_password(settings.password_file))


def timeouts(settings: StoreSettings) -> Timeouts:
    return Timeouts(settings.connect_timeout, settings.statement_timeout)


def _expanded(text: str | None) -> str | None:
    """Each part by itself: a value may hold any character."""
    return None if text is None else _VARIABLE.sub(lambda match: _variable(match[1] or match[2]), text)


def _variable(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise StoreUrlInvalid(f"the environment variable {name} that it names is not set") from None


def _password(file: Path) -> str:
    try:
        return file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is not text"
        raise StoreUrlInvalid(f"the file {file} with its password cannot be read: {problem}") from None
