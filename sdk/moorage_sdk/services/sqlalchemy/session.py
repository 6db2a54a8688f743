"""Sessions that belong to the scope: the task's statements are flushed before its reply, and the host commits."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from moorage_sdk.scope import entered
from moorage_sdk.services.base import Ask, Provided
from moorage_sdk.services.sqlalchemy.engine import async_engine_for, engine_for


def scoped_session(ask: Ask) -> Provided:
    """A Session whose ``commit()`` commits early; what it did after that, or all, is committed by the host."""
    with entered(ask.scope):
        connection = engine_for(ask.host, ask.backend, scoped=True).connect()
    session = Session(bind=connection)

    def finish(success: bool) -> None:
        if success:
            if not session.is_active:
                # Raises what a commit would raise: an error in a flush was caught, and never rolled back.
                session.connection()
            session.flush()
        connection.connection.dbapi_connection.seal()

    def close() -> None:
        session.close()
        connection.close()

    return Provided(session, finish=finish, close=close)


def scoped_async_session(ask: Ask) -> Provided:
    """As ``scoped_session``, for coroutines. It connects when it is first used: that takes a greenlet."""
    from sqlalchemy.ext.asyncio import (  # noqa: PLC0415 - needs greenlet, which a sync plugin may not have
        AsyncEngine,
        AsyncSession,
    )

    session = AsyncSession(bind=AsyncEngine(async_engine_for(ask.host, ask.backend)))

    async def finish(success: bool) -> None:
        if success:
            with entered(ask.scope):
                await session.flush()
        if session.in_transaction():
            # For a session whose failed flush was never rolled back this raises what a commit would raise.
            connection = await session.connection()
            raw: Any = await connection.get_raw_connection()
            raw.driver_connection.seal()

    return Provided(session, finish=finish, close=session.close)


def session_factory(ask: Ask) -> Provided:
    """Makes Sessions in whatever scope they are used; each is committed by the plugin, or rolled back at its end."""
    return Provided(sessionmaker(bind=engine_for(ask.host, ask.backend, scoped=False)))


def async_session_factory(ask: Ask) -> Provided:
    """As ``session_factory``, for coroutines."""
    from sqlalchemy.ext.asyncio import (  # noqa: PLC0415 - needs greenlet, which a sync plugin may not have
        async_sessionmaker,
    )

    return Provided(async_sessionmaker(_async_engine(ask)))


def async_engine(ask: Ask) -> Provided:
    return Provided(_async_engine(ask))


def _async_engine(ask: Ask) -> Any:
    from sqlalchemy.ext.asyncio import AsyncEngine  # noqa: PLC0415 - as above

    return AsyncEngine(async_engine_for(ask.host, ask.backend, scoped=False))


def engine(ask: Ask) -> Provided:
    found: Any = engine_for(ask.host, ask.backend, scoped=False)
    return Provided(found)
