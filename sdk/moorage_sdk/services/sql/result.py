"""What a cursor tells of its result; the same whether it is awaited or not."""

from __future__ import annotations

from typing import Any, Optional

from moorage_proto import sql_pb2
from moorage_sdk.channel import ReplyStream
from moorage_sdk.services.sql.settings import ConnectionSettings
from moorage_sdk.services.sql.state import CursorState, Description


class CursorResult:
    """Of sync and async cursors."""

    connection: ConnectionSettings
    _state: CursorState
    _stream: Optional[ReplyStream[sql_pb2.Rows]]

    @property
    def description(self) -> Description:
        """Name and type code of each column; the code is the database's name of the type, where it has one."""
        return self._state.description

    @property
    def rowcount(self) -> int:
        return self._state.rowcount

    @property
    def lastrowid(self) -> Optional[int]:
        """SQLite's; on PostgreSQL use RETURNING."""
        return self._state.lastrowid

    @property
    def arraysize(self) -> int:
        return self._state.arraysize

    @arraysize.setter
    def arraysize(self, rows: int) -> None:
        self._state.arraysize = rows

    @property
    def server_side(self) -> bool:
        """Whether rows that were not fetched stay in the host, and are lost when its transaction ends."""
        return self._state.server_side

    @property
    def timeout(self) -> Optional[float]:
        """Seconds that each statement of this cursor may take; None: as its connection has it."""
        return self._state.timeout

    @timeout.setter
    def timeout(self, seconds: Optional[float]) -> None:
        self._state.timeout = seconds

    def __del__(self) -> None:
        """Whoever drops a cursor has no use for its rows. Nothing can be sent from here."""
        state: Any = getattr(self, "_state", None)
        if state is None:
            return
        if self._stream is not None:
            self._stream.close()
        elif state.handle:
            self.connection._state.forgotten.append(state.handle)  # noqa: SLF001 - one driver

    def _timeout(self) -> Optional[float]:
        return self.connection.timeout if self._state.timeout is None else self._state.timeout

    def _take_reply(self, reply: sql_pb2.ExecuteReply) -> None:
        self._state.take_reply(reply, self.connection.json_loads)
        if self._state.handle and not self._state.server_side:
            self.connection._state.unread.add(self)  # noqa: SLF001 - one driver

    def _read_all(self) -> int:
        """The host's cursor is no more, or about to go; which it was, 0: none."""
        handle, self._state.handle = self._state.handle, 0
        self.connection._state.unread.discard(self)  # noqa: SLF001 - one driver
        return handle
