"""Engines: one for each backend and way of use, for the life of the worker, so that compiled statements are kept."""

from __future__ import annotations

import functools
from typing import Any, Tuple

from sqlalchemy import create_engine
from sqlalchemy.dialects import registry

from moorage_sdk import channel
from moorage_sdk.errors import PluginInvalid
from moorage_sdk.host import HostFacts
from moorage_sdk.services.sql import AsyncConnection, Connection
from moorage_sdk.services.sqlalchemy.driver import Driver


def engine_for(host: HostFacts, backend: str, *, scoped: bool) -> Any:
    """Its connections belong to the scope in which they are made; ``scoped`` ones are ended by the host."""
    return _engine(backend, _version(host, backend), scoped)


def async_engine_for(host: HostFacts, backend: str) -> Any:
    """A sync Engine with the async dialect: the inside of an AsyncEngine."""
    return _async_engine(backend, _version(host, backend))


def _version(host: HostFacts, backend: str) -> Tuple[int, ...]:
    """Raises PluginInvalid for a database that this SDK has no dialect for."""
    known = host.sql_backends.get(backend)
    if known is None:
        return ()
    if known.dialect != "sqlite":
        raise PluginInvalid(
            f"the database {backend!r} speaks {known.dialect}, for which this SDK has no SQLAlchemy dialect; use "
            "moorage_sdk.sql.Connection, or a newer host"
        )
    return tuple(known.server_version)


@functools.lru_cache(maxsize=64)
def _engine(backend: str, version: Tuple[int, ...], scoped: bool) -> Any:
    def connect() -> Connection:
        return Connection(channel.current(), backend, scoped=scoped)

    return create_engine(f"sqlite+moorage:///{backend}", creator=connect, module=Driver(version))


@functools.lru_cache(maxsize=64)
def _async_engine(backend: str, version: Tuple[int, ...]) -> Any:
    from moorage_sdk.services.sqlalchemy.aio import Adapted  # noqa: PLC0415 - not all plugins that are sync have greenlet

    def connect() -> Adapted:
        return Adapted(AsyncConnection(channel.current(), backend, scoped=True))

    return create_engine(f"sqlite+moorage_async:///{backend}", creator=connect, module=Driver(version))


# A worker has no metadata of the SDK in which SQLAlchemy could find the entry points.
registry.register("sqlite.moorage", "moorage_sdk.services.sqlalchemy.sqlite", "SQLiteDialect")
registry.register("sqlite.moorage_async", "moorage_sdk.services.sqlalchemy.aio", "AsyncSQLiteDialect")
