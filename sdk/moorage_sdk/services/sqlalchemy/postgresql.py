"""The dialect for PostgreSQL behind the broker: SQLAlchemy's own, but for where that would read the catalogue.

``postgresql+moorage:///main`` names a backend of the host. Values and placeholders are psycopg's.
"""

from __future__ import annotations

import re
from typing import Any, List, Tuple

from sqlalchemy.dialects.postgresql.base import PGDialect, PGExecutionContext

from moorage_sdk.services.sqlalchemy.brokered import BrokeredDialect, StreamingContext, raw_connection, told_version
from moorage_sdk.services.sqlalchemy.driver import Driver
from moorage_sdk.services.sqlalchemy.postgresql_reflection import Reflection
from moorage_sdk.services.sqlalchemy.postgresql_types import colspecs, statement_compiler

_DIGITS = re.compile(r"\d+")


class ExecutionContext(StreamingContext, PGExecutionContext):
    """As PostgreSQL's own, with a cursor for streaming."""


class PostgreSQLDialect(BrokeredDialect, Reflection, PGDialect):  # type: ignore[misc]  # SQLAlchemy's says more
    """For ``create_engine`` and for injection."""

    default_paramstyle = "pyformat"
    supports_statement_cache = True
    supports_sane_multi_rowcount = True
    supports_native_uuid = True
    supports_native_json_serialization = False
    supports_native_json_deserialization = True
    dialect_injects_custom_json_deserializer = True
    #: Of SQLAlchemy 1.4: how the driver takes and gives text.
    supports_unicode_statements = True
    supports_unicode_binds = True
    use_native_uuid = True
    execution_ctx_cls = ExecutionContext
    statement_compiler = statement_compiler
    colspecs = colspecs(PGDialect.colspecs)
    _has_native_hstore = False

    @classmethod
    def import_dbapi(cls) -> Any:
        return Driver(cls.name)

    @classmethod
    def get_async_dialect_cls(cls, url: Any) -> Any:  # noqa: ARG003 - the same for every backend
        """So that ``create_async_engine`` takes the same URL; of SQLAlchemy 2."""
        from moorage_sdk.services.sqlalchemy.async_postgresql import (  # noqa: PLC0415 - not all plugins have greenlet
            AsyncPostgreSQLDialect,
        )

        return AsyncPostgreSQLDialect

    def on_connect(self) -> Any:
        """For each new connection: how JSON is read, and the engine's isolation level."""
        loads = getattr(self, "_json_deserializer", None)
        level = getattr(self, "isolation_level", None)

        def connected(dbapi_connection: Any) -> None:
            if loads is not None:
                dbapi_connection.json_loads = loads
            if level is not None:
                self.set_isolation_level(dbapi_connection, level)

        return connected

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        if dbapi_connection.autocommit or not dbapi_connection.isolation_level:
            return self._shown_level(dbapi_connection)
        return dbapi_connection.isolation_level

    def set_readonly(self, connection: Any, value: Any) -> None:
        connection.read_only = value

    def get_readonly(self, connection: Any) -> Any:
        return bool(connection.read_only)

    def set_deferrable(self, connection: Any, value: Any) -> None:
        connection.deferrable = value

    def get_deferrable(self, connection: Any) -> Any:
        return bool(connection.deferrable)

    def _levels(self) -> List[str]:
        return ["READ COMMITTED", "READ UNCOMMITTED", "REPEATABLE READ", "SERIALIZABLE"]

    def _shown_level(self, dbapi_connection: Any) -> str:
        between = not dbapi_connection.in_transaction
        cursor = dbapi_connection.cursor()
        cursor.execute("SHOW transaction_isolation")
        level = str(cursor.fetchone()[0]).upper()
        cursor.close()
        if between:
            dbapi_connection.rollback()
        return level

    def _get_server_version_info(self, connection: Any) -> Tuple[int, ...]:
        told = told_version(connection)
        if told:
            return told
        shown = str(connection.exec_driver_sql("SHOW server_version").scalar())
        return tuple(int(part) for part in _DIGITS.findall(shown.partition(" ")[0]))

    def _get_default_schema_name(self, connection: Any) -> str:
        found: str = raw_connection(connection).inspect().default_schema
        return found
