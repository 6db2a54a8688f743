"""How connections to one server are made, as the operator's role and as those of installations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from moorage.broker.services.sql.postgresql import pipeline, wire
from moorage.broker.services.sql.postgresql.raw import BoundedConnection

#: Milliseconds: when the host itself is gone, or cut off, the server ends what is left of it.
_STATEMENT_MILLISECONDS = 90_000
_IDLE_MILLISECONDS = 60_000
_GONE_MILLISECONDS = 1_000

#: Without it a server that computes does not notice that nobody waits any more. From PostgreSQL 14 on, on Linux.
_NOTICE_ENDS = f"""
CASE WHEN pg_catalog.version() LIKE '%linux%'
          AND pg_catalog.current_setting('client_connection_check_interval', true) IS NOT NULL
     THEN pg_catalog.set_config('client_connection_check_interval', '{_GONE_MILLISECONDS}', false) END
"""


class Server:
    def __init__(self, url: URL, connect_seconds: float) -> None:
        self._url = url
        self._seconds = connect_seconds
        self._context = wire.Context()
        self.version: tuple[int, ...] = ()

    @property
    def database(self) -> str:
        return self._url.database or self._url.username or ""

    @property
    def user(self) -> str:
        return self._url.username or ""

    async def connect(
        self, application: str, path: Sequence[str], *, user: str = "", password: str = "", url: URL | None = None
    ) -> BoundedConnection:
        """With the URL's own role, or another. Raises psycopg.Error."""
        connection = await BoundedConnection.connect(
            _parameters(url or self._url, user, password),
            autocommit=True,
            prepare_threshold=None,
            context=self._context,
            connect_timeout=max(1, int(self._seconds)),
            application_name=application,
            client_encoding="UTF8",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
        try:
            await self._settle(connection, path)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _settle(self, connection: BoundedConnection, path: Sequence[str]) -> None:
        version = connection.info.server_version
        self.version = (version // 10_000, version % 10_000)
        settings = {
            "standard_conforming_strings": "on",
            "search_path": ", ".join('"' + name.replace('"', '""') + '"' for name in path),
            "statement_timeout": str(_STATEMENT_MILLISECONDS),
            "idle_in_transaction_session_timeout": str(_IDLE_MILLISECONDS),
            # A cursor is read to its end here as a rule.
            "cursor_tuple_fraction": "1.0",
        }
        calls = ", ".join(
            f"pg_catalog.set_config(${2 * index + 1}, ${2 * index + 2}, false)" for index in range(len(settings))
        )
        named = [part for item in settings.items() for part in item]
        await pipeline.run(connection, [(f"SELECT {calls}, {_NOTICE_ENDS}", named)])


def _parameters(url: URL, user: str, password: str) -> str:
    query: dict[str, Any] = {name: value for name, value in url.query.items() if isinstance(value, str)}
    query |= {
        "host": url.host,
        "port": url.port,
        "dbname": url.database,
        "user": user or url.username,
        "password": password or url.password,
    }
    return make_conninfo("", **{name: value for name, value in query.items() if value is not None})
