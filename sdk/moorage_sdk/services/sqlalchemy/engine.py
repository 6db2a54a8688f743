"""Engines: one for each backend and way of use, for the life of the worker, so that compiled statements are kept."""

from __future__ import annotations

import functools
from typing import Any, Dict, Tuple

from sqlalchemy import create_engine
from sqlalchemy.dialects import registry

from moorage_sdk.errors import PluginInvalid
from moorage_sdk.host import HostFacts
from moorage_sdk.services.sqlalchemy.driver import Driver

_DIALECTS = ("sqlite", "postgresql")


def engine_for(host: HostFacts, backend: str, *, scoped: bool) -> Any:
    """Its connections belong to the scope in which they are made; ``scoped`` ones are ended by the host."""
    return _engine(*_known(host, backend), backend, scoped)


def async_engine_for(host: HostFacts, backend: str, *, scoped: bool = True) -> Any:
    """A sync Engine with the async dialect: the inside of an AsyncEngine."""
    return _async_engine(*_known(host, backend), backend, scoped)


def _known(host: HostFacts, backend: str) -> Tuple[str, Tuple[int, ...]]:
    """Dialect, and SQLite's version. Raises PluginInvalid for a database that this SDK has no dialect for."""
    known = host.sql_backends.get(backend)
    if known is None:
        return "sqlite", ()
    if known.dialect not in _DIALECTS:
        raise PluginInvalid(
            f"the database {backend!r} speaks {known.dialect}, for which this SDK has no SQLAlchemy dialect; use "
            "moorage_sdk.sql.Connection, or a newer host"
        )
    return known.dialect, tuple(known.server_version) if known.dialect == "sqlite" else ()


@functools.lru_cache(maxsize=64)
def _engine(dialect: str, version: Tuple[int, ...], backend: str, scoped: bool) -> Any:
    arguments: Dict[str, Any] = {"scoped": scoped}
    return create_engine(f"{dialect}+moorage:///{backend}", connect_args=arguments, module=Driver(dialect, version))


@functools.lru_cache(maxsize=64)
def _async_engine(dialect: str, version: Tuple[int, ...], backend: str, scoped: bool) -> Any:
    from moorage_sdk.services.sqlalchemy.aio import (  # noqa: PLC0415 - not all plugins that are sync have greenlet
        AsyncDriver,
    )

    arguments: Dict[str, Any] = {"scoped": scoped}
    return create_engine(
        f"{dialect}+moorage_async:///{backend}", connect_args=arguments, module=AsyncDriver(dialect, version)
    )


# For where the SDK is on the path without its metadata, in which SQLAlchemy finds the entry points: a checkout.
_HERE = __name__.rpartition(".")[0]
registry.register("sqlite.moorage", f"{_HERE}.sqlite", "SQLiteDialect")
registry.register("sqlite.moorage_async", f"{_HERE}.async_sqlite", "AsyncSQLiteDialect")
registry.register("postgresql.moorage", f"{_HERE}.postgresql", "PostgreSQLDialect")
registry.register("postgresql.moorage_async", f"{_HERE}.async_postgresql", "AsyncPostgreSQLDialect")
