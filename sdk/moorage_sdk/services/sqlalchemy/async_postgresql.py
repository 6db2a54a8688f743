"""The dialect for PostgreSQL behind the broker, for AsyncEngine and AsyncSession."""

from __future__ import annotations

from typing import Any

from moorage_sdk.services.sqlalchemy.aio import AsyncBrokered, AsyncDriver
from moorage_sdk.services.sqlalchemy.postgresql import PostgreSQLDialect


class AsyncPostgreSQLDialect(AsyncBrokered, PostgreSQLDialect):  # type: ignore[misc]  # 1.4's dbapi() is 2's attribute
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        return AsyncDriver(cls.name)
