"""Injects SQLAlchemy's own classes, told by name: importing them is the plugin's business."""

from __future__ import annotations

from typing import Tuple

from moorage_sdk.services.base import Ask, Provided
from moorage_sdk.services.sql.face import VERBS

SESSION = "sqlalchemy.orm.session:Session"
ASYNC_SESSION = "sqlalchemy.ext.asyncio.session:AsyncSession"
FACTORY = "sqlalchemy.orm.session:sessionmaker"
ENGINE = "sqlalchemy.engine.base:Engine"
#: Of SQLAlchemy 2.
ASYNC_FACTORY = "sqlalchemy.ext.asyncio.session:async_sessionmaker"
ASYNC_ENGINE = "sqlalchemy.ext.asyncio.engine:AsyncEngine"


class ScopedSessionFace:
    """One Session for each scope, backend and type."""

    provides: Tuple[str, ...] = (SESSION, ASYNC_SESSION)
    per_scope = True
    capability_verbs: Tuple[str, ...] = VERBS

    def make(self, ask: Ask) -> Provided:
        from moorage_sdk.services.sqlalchemy import session  # noqa: PLC0415 - the plugin that asks has SQLAlchemy

        return session.scoped_async_session(ask) if ask.type_name == ASYNC_SESSION else session.scoped_session(ask)


class SessionFactoryFace:
    """One factory, or engine, for the worker's life; what it makes belongs to the scope in which it is made."""

    provides: Tuple[str, ...] = (FACTORY, ENGINE, ASYNC_FACTORY, ASYNC_ENGINE)
    per_scope = False
    capability_verbs: Tuple[str, ...] = VERBS

    def make(self, ask: Ask) -> Provided:
        from moorage_sdk.services.sqlalchemy import session  # noqa: PLC0415 - the plugin that asks has SQLAlchemy

        makers = {
            FACTORY: session.session_factory,
            ENGINE: session.engine,
            ASYNC_FACTORY: session.async_session_factory,
            ASYNC_ENGINE: session.async_engine,
        }
        return makers[ask.type_name](ask)
