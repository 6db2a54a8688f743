"""Injects SQLAlchemy's own classes, told by name: importing them is the plugin's business."""

from __future__ import annotations

from typing import Tuple

from moorage_sdk.services.base import Ask, Provided
from moorage_sdk.services.sql.face import VERBS

SESSION = "sqlalchemy.orm.session:Session"
ASYNC_SESSION = "sqlalchemy.ext.asyncio.session:AsyncSession"
FACTORY = "sqlalchemy.orm.session:sessionmaker"
ENGINE = "sqlalchemy.engine.base:Engine"


class ScopedSessionFace:
    """One Session for each scope, backend and type."""

    provides: Tuple[str, ...] = (SESSION, ASYNC_SESSION)
    per_scope = True
    capability_verbs: Tuple[str, ...] = VERBS

    def make(self, ask: Ask) -> Provided:
        from moorage_sdk.services.sqlalchemy import session  # noqa: PLC0415 - the plugin that asks has SQLAlchemy

        return session.scoped_async_session(ask) if ask.type_name == ASYNC_SESSION else session.scoped_session(ask)


class SessionFactoryFace:
    """One factory, or Engine, for the worker's life; what it makes belongs to the scope in which it is made."""

    provides: Tuple[str, ...] = (FACTORY, ENGINE)
    per_scope = False
    capability_verbs: Tuple[str, ...] = VERBS

    def make(self, ask: Ask) -> Provided:
        from moorage_sdk.services.sqlalchemy import session  # noqa: PLC0415 - the plugin that asks has SQLAlchemy

        return session.engine(ask) if ask.type_name == ENGINE else session.session_factory(ask)
