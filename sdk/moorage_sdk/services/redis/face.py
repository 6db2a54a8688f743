"""Injects redis-py's own clients and connection pools, sync and asyncio."""

from __future__ import annotations

import importlib
from typing import Any, Tuple

from moorage_sdk.services.base import Ask, Provided
from moorage_sdk.services.redis.wire import Wire

SYNC = "redis.client:Redis"
ASYNC = "redis.asyncio.client:Redis"
SYNC_POOL = "redis.connection:ConnectionPool"
ASYNC_POOL = "redis.asyncio.connection:ConnectionPool"

VERBS = ("redis.read", "redis.write", "redis.publish", "redis.subscribe", "redis.script")


class RedisFace:
    """One client, or pool, for each scope, server and type. Its connections end with the scope."""

    provides: Tuple[str, ...] = (SYNC, ASYNC, SYNC_POOL, ASYNC_POOL)
    per_scope = True
    capability_verbs: Tuple[str, ...] = VERBS

    def make(self, ask: Ask) -> Provided:
        wire = Wire(ask.channel, ask.backend, ask.scope)
        is_async = ask.type_name in (ASYNC, ASYNC_POOL)
        # The plugin has redis: it is annotated with one of its classes.
        module: Any = importlib.import_module(f"moorage_sdk.services.redis.{'aio' if is_async else 'sync'}")
        pool = module.pool(wire)
        value = pool if ask.type_name in (SYNC_POOL, ASYNC_POOL) else module.client(pool)

        async def close() -> None:
            wire.seal()
            await pool.disconnect()

        def close_sync() -> None:
            wire.seal()
            pool.disconnect()

        return Provided(value, close=close if is_async else close_sync)
