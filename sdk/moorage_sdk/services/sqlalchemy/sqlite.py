"""The dialect for SQLite behind the broker: SQLAlchemy's own, but for where that would read the schema table.

``sqlite+moorage:///main`` names a backend of the host.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Tuple

from sqlalchemy import exc, text
from sqlalchemy.dialects.sqlite.base import SQLiteDialect as Base
from sqlalchemy.dialects.sqlite.base import SQLiteExecutionContext

from moorage_sdk.services.sqlalchemy.brokered import BrokeredDialect, StreamingContext
from moorage_sdk.services.sqlalchemy.driver import Driver

#: What the host shows of the schema: tables, views and indexes to which the installation has some right.
_LISTING = "FROM json_each(moorage_schema()) WHERE json_extract(value, '$.type')"

_PARTIAL = re.compile(r"\)\s+where\s+(.+)", re.IGNORECASE | re.DOTALL)


class ExecutionContext(StreamingContext, SQLiteExecutionContext):
    """As SQLite's own, with a cursor for streaming."""


class SQLiteDialect(BrokeredDialect, Base):  # type: ignore[misc]  # 1.4's dbapi() is 2's attribute
    """For ``create_engine`` and for injection."""

    default_paramstyle = "qmark"
    supports_statement_cache = True
    returns_native_bytes = True
    execution_ctx_cls = ExecutionContext

    @classmethod
    def import_dbapi(cls) -> Any:
        return Driver(cls.name)

    @classmethod
    def get_async_dialect_cls(cls, url: Any) -> Any:  # noqa: ARG003 - the same for every backend
        """So that ``create_async_engine`` takes the same URL; of SQLAlchemy 2."""
        from moorage_sdk.services.sqlalchemy.async_sqlite import (  # noqa: PLC0415 - not all plugins have greenlet
            AsyncSQLiteDialect,
        )

        return AsyncSQLiteDialect

    def _get_server_version_info(self, connection: Any) -> Tuple[int, ...]:  # noqa: ARG002 - the host has said it
        version: Tuple[int, ...] = self.dbapi.sqlite_version_info  # type: ignore[attr-defined]
        return version

    def get_isolation_level(self, dbapi_connection: Any) -> Any:  # noqa: ARG002 - it is the only one
        return "SERIALIZABLE"

    def _levels(self) -> List[str]:
        return ["SERIALIZABLE"]

    # Reflection, without the schema table. The arguments that are not named are the schema, of which there is one, and
    # SQLAlchemy's cache.

    def get_schema_names(self, *_: Any, **__: Any) -> List[str]:
        return ["main"]

    def get_table_names(self, connection: Any, *_: Any, **__: Any) -> List[str]:
        return _names(connection, "table")

    def get_view_names(self, connection: Any, *_: Any, **__: Any) -> List[str]:
        return _names(connection, "view")

    def get_temp_table_names(self, *_: Any, **__: Any) -> List[str]:
        return []

    def get_temp_view_names(self, *_: Any, **__: Any) -> List[str]:
        return []

    def get_view_definition(self, connection: Any, view_name: str, *_: Any, **__: Any) -> str:
        return _definition(connection, view_name, ("view",))

    def get_indexes(self, connection: Any, table_name: str, *schema: Any, **kw: Any) -> Any:
        found: List[Dict[str, Any]] = super().get_indexes(connection, table_name, *schema, **kw)  # type: ignore[no-untyped-call]
        for index in found:
            definition = _sql(connection, str(index["name"]), ("index",))
            predicate = _PARTIAL.search(definition or "")
            if predicate is not None:
                index.setdefault("dialect_options", {})["sqlite_where"] = text(predicate.group(1))
        return found

    def _get_table_sql(self, connection: Any, table_name: str, *_: Any, **__: Any) -> str:
        return _definition(connection, table_name, ("table", "view"))

    def _get_table_pragma(self, connection: Any, pragma: str, table_name: str, *_: Any, **__: Any) -> Any:
        quoted = self.identifier_preparer.quote_identifier(table_name)
        rows = connection.exec_driver_sql(f"PRAGMA main.{pragma}({quoted})").fetchall()
        # The fifth column says that an index is partial; SQLAlchemy would then look into the schema table.
        return [tuple(row)[:4] for row in rows] if pragma == "index_list" else rows


def _names(connection: Any, kind: str) -> List[str]:
    statement = f"SELECT json_extract(value, '$.name') {_LISTING} = ? ORDER BY 1"
    return [row[0] for row in connection.exec_driver_sql(statement, (kind,))]


def _definition(connection: Any, name: str, kinds: Tuple[str, ...]) -> str:
    found = _sql(connection, name, kinds)
    if found is None:
        raise exc.NoSuchTableError(name)
    return found


def _sql(connection: Any, name: str, kinds: Tuple[str, ...]) -> Optional[str]:
    marks = ", ".join("?" * len(kinds))
    statement = (
        f"SELECT json_extract(value, '$.sql') {_LISTING} IN ({marks}) "
        "AND json_extract(value, '$.name') = ? COLLATE NOCASE"
    )
    found: Optional[str] = connection.exec_driver_sql(statement, (*kinds, name)).scalar()
    return found
