"""Injects connections that belong to the scope."""

from __future__ import annotations

from typing import Tuple

from moorage_sdk.services.base import Ask, Provided
from moorage_sdk.services.sql.aio import AsyncConnection
from moorage_sdk.services.sql.connection import Connection

SYNC = "moorage_sdk.services.sql.connection:Connection"
ASYNC = "moorage_sdk.services.sql.aio:AsyncConnection"

VERBS = ("sql.read", "sql.write", "sql.define")


class SqlFace:
    """One scoped connection for each scope, backend and type."""

    provides: Tuple[str, ...] = (SYNC, ASYNC)
    per_scope = True
    capability_verbs: Tuple[str, ...] = VERBS

    def make(self, ask: Ask) -> Provided:
        if ask.type_name == ASYNC:
            awaited = AsyncConnection(ask.channel, ask.backend, scoped=True, scope=ask.scope)
            return Provided(awaited, close=awaited.seal)
        connection = Connection(ask.channel, ask.backend, scoped=True, scope=ask.scope)
        return Provided(connection, close=connection.seal)
