"""What the next transactions of a connection are like: their isolation, and whether they end with each statement."""

from __future__ import annotations

from typing import Optional, Tuple

from moorage_sdk.services.sql.errors import NotSupportedError, misused

#: By dialect.
LEVELS = {
    "sqlite": ("SERIALIZABLE",),
    "postgresql": ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"),
}


class Characteristics:
    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._level = ""
        #: Each statement is committed by itself.
        self.autocommit = False
        #: Of PostgreSQL's transactions; None: as the server has it.
        self.read_only: Optional[bool] = None
        self.deferrable: Optional[bool] = None

    @property
    def levels(self) -> Tuple[str, ...]:
        return LEVELS.get(self._dialect, ())

    @property
    def isolation_level(self) -> str:
        """Empty: the database's own default."""
        return self._level

    @isolation_level.setter
    def isolation_level(self, level: str) -> None:
        """Raises NotSupportedError for one that the database does not have."""
        wanted = level.upper().replace("_", " ")
        if wanted and wanted not in self.levels:
            raise misused(f"The isolation level is one of {', '.join(self.levels)}, not {level!r}.", NotSupportedError)
        self._level = wanted

    def statement(self) -> str:
        """Before the first statement of a transaction; empty: none is needed."""
        if self._dialect != "postgresql":
            return ""
        modes = []
        if self._level:
            modes.append(f"ISOLATION LEVEL {self._level}")
        if self.read_only is not None:
            modes.append("READ ONLY" if self.read_only else "READ WRITE")
        if self.deferrable is not None:
            modes.append("DEFERRABLE" if self.deferrable else "NOT DEFERRABLE")
        return f"SET TRANSACTION {', '.join(modes)}" if modes else ""
