"""What our dialects have in common: connections that belong to scopes, errors that are both kinds', time limits."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

from sqlalchemy import exc, pool

from moorage_proto.errors import Reason
from moorage_sdk.errors import HostUnavailable, MoorageError, ScopeClosed
from moorage_sdk.services.sqlalchemy import errors
from moorage_sdk.services.sqlalchemy.driver import Driver

AUTOCOMMIT = "AUTOCOMMIT"

#: Execution option: seconds that the statement may take.
TIMEOUT = "timeout"


class BrokeredDialect:
    """Comes before SQLAlchemy's own dialect for the database."""

    driver = "moorage"
    name: str
    supports_statement_cache = True
    supports_server_side_cursors = True
    #: Of SQLAlchemy 1.4.
    description_encoding = None

    @classmethod
    def dbapi(cls) -> Any:
        """SQLAlchemy 1.4's name of import_dbapi, which SQLAlchemy 2 wants to find in the class itself."""
        return Driver(cls.name)

    @classmethod
    def get_pool_class(cls, url: Any) -> Any:  # noqa: ARG003 - the same for every backend
        """A connection belongs to the scope in which it was made; none may wait for another scope."""
        return pool.NullPool

    @classmethod
    def engine_created(cls, engine: Any) -> None:
        errors.watch(engine)

    def create_connect_args(self, url: Any) -> Any:
        return [url.database or "main"], {}

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        _limit(cursor, context)
        cursor.execute(statement, parameters)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        _limit(cursor, context)
        cursor.execute(statement)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        _limit(cursor, context)
        cursor.executemany(statement, parameters)

    def get_isolation_level_values(self, dbapi_connection: Any) -> Any:  # noqa: ARG002 - the same for all
        return [*self._levels(), AUTOCOMMIT]

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        if level != AUTOCOMMIT and level not in self._levels():
            known = ", ".join(self.get_isolation_level_values(None))
            raise exc.ArgumentError(f"Invalid value '{level}' for isolation_level. Valid isolation levels are {known}")
        dbapi_connection.autocommit = level == AUTOCOMMIT
        dbapi_connection.isolation_level = "" if level == AUTOCOMMIT else level

    def reset_isolation_level(self, dbapi_connection: Any) -> None:
        default: Optional[str] = getattr(self, "_on_connect_isolation_level", None)
        self.set_isolation_level(dbapi_connection, default or self.default_isolation_level)  # type: ignore[attr-defined]

    def detect_autocommit_setting(self, dbapi_connection: Any) -> bool:
        return bool(dbapi_connection.autocommit)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:  # noqa: ARG002 - the error says it all
        if isinstance(e, (HostUnavailable, ScopeClosed)):
            return True
        return isinstance(e, MoorageError) and e.reason == Reason.GRANT_REVOKED

    def _levels(self) -> List[str]:
        raise NotImplementedError


class StreamingContext:
    """Of an execution context: ``stream_results`` and ``yield_per`` leave the rows in the host."""

    _dbapi_connection: Any

    def create_server_side_cursor(self) -> Any:
        return self._dbapi_connection.cursor(server_side=True)


def raw_connection(connection: Any) -> Any:
    """The driver's, beneath a Connection of SQLAlchemy's."""
    fairy = connection.connection
    for name in ("dbapi_connection", "connection"):  # of SQLAlchemy 2 and 1.4
        found = getattr(fairy, name, None)
        if found is not None:
            return found
    # SQLAlchemy 1.4 has none of its own around the first one.
    return fairy


def told_version(connection: Any) -> Tuple[int, ...]:
    """What the host said when it met this worker; empty: it did not know."""
    return tuple(raw_connection(connection).server_version)


def _limit(cursor: Any, context: Any) -> None:
    if context is not None:
        cursor.timeout = context.execution_options.get(TIMEOUT)
