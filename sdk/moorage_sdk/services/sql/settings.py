"""What can be set of a connection, and what it tells of itself; the same whether it is awaited or not."""

from __future__ import annotations

from typing import Any, Callable, Optional, Tuple

from moorage_sdk.services.sql.errors import misused
from moorage_sdk.services.sql.state import ConnectionState


class ConnectionSettings:
    """Of sync and async connections."""

    _state: ConnectionState

    @property
    def in_transaction(self) -> bool:
        return self._state.began

    @property
    def is_scoped(self) -> bool:
        return self._state.scoped

    @property
    def is_sealed(self) -> bool:
        return self._state.sealed

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of what speaks behind it: "sqlite", "postgresql"."""
        return self._state.facts.dialect

    @property
    def server_version(self) -> Tuple[int, ...]:
        """Empty where the host did not know it when this worker began."""
        return tuple(self._state.facts.server_version)

    @property
    def paramstyle(self) -> str:
        """PEP 249's: "qmark" on SQLite; "pyformat" on PostgreSQL, where "format" and "numeric_dollar" work as well."""
        told = self._state.facts.paramstyle
        return "pyformat" if told == "numeric_dollar" else told

    @property
    def timeout(self) -> Optional[float]:
        """Seconds that each statement may take from now on; None: as long as the host lets it."""
        return self._state.timeout

    @timeout.setter
    def timeout(self, seconds: Optional[float]) -> None:
        self._state.timeout = seconds

    @property
    def autocommit(self) -> bool:
        """Whether each statement is committed by itself. Not to be changed within a transaction."""
        return self._state.characteristics.autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        self._check_between()
        self._state.characteristics.autocommit = value

    @property
    def isolation_level(self) -> str:
        """Of the transactions from the next one on; empty: the database's default."""
        return self._state.characteristics.isolation_level

    @isolation_level.setter
    def isolation_level(self, level: str) -> None:
        self._check_between()
        self._state.characteristics.isolation_level = level

    @property
    def read_only(self) -> Optional[bool]:
        """Of PostgreSQL's transactions from the next one on; None: as the server has it."""
        return self._state.characteristics.read_only

    @read_only.setter
    def read_only(self, value: Optional[bool]) -> None:
        self._check_between()
        self._state.characteristics.read_only = value

    @property
    def deferrable(self) -> Optional[bool]:
        """As ``read_only``; it says something where the level is SERIALIZABLE."""
        return self._state.characteristics.deferrable

    @deferrable.setter
    def deferrable(self, value: Optional[bool]) -> None:
        self._check_between()
        self._state.characteristics.deferrable = value

    @property
    def json_loads(self) -> Callable[[str], Any]:
        """Reads values of PostgreSQL's types json and jsonb."""
        return self._state.json_loads

    @json_loads.setter
    def json_loads(self, loads: Callable[[str], Any]) -> None:
        self._state.json_loads = loads

    def seal(self) -> None:
        """From now on the host alone decides how the transaction ends; nothing more is sent. For injection."""
        self._state.sealed = True

    def _check_between(self) -> None:
        if self._state.began:
            raise misused("That cannot be changed within a transaction: commit or roll back first.")
