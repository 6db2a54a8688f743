"""A database whose client library is not installed: the host starts, and says so to whoever connects."""

from __future__ import annotations

import logging

from moorage.broker.services.sql.base import Connection, Opening
from moorage_proto import error_pb2
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)


class MissingDatabase:
    """Implements ``Database``."""

    paramstyle = "numeric_dollar"
    server_version: tuple[int, ...] = ()

    def __init__(self, name: str, dialect: str) -> None:
        self.dialect = dialect
        self._name = name

    async def open(self) -> None:
        log.error("sql %s: %s", self._name, self._sentence)

    def connect(self, _: Opening) -> Connection:
        raise self._error()

    async def committed(self, _: str) -> bool:
        raise self._error()

    async def forget_commits(self, _: object) -> None:
        raise self._error()

    async def plan(self, _: object) -> str:
        raise self._error()

    async def forget(self, _: object) -> None:
        """Nothing was made for it."""

    async def close(self) -> None:
        """Nothing was opened."""

    @property
    def _sentence(self) -> str:
        return f"{self.dialect} needs packages of its own. Install them with: pip install 'moorage[{self.dialect}]'"

    def _error(self) -> CallError:
        return CallError(
            Status.UNAVAILABLE,
            Reason.BACKEND_UNAVAILABLE,
            f"The database {self._name!r} cannot be used: the host lacks the client library. {self._sentence}",
            sql=error_pb2.SqlFailure(kind=error_pb2.SqlFailure.OPERATIONAL_ERROR),
        )
