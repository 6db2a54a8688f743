"""``from moorage_sdk.redis import connection_pool``: further pools beside an injected client."""

from __future__ import annotations

from typing import Any

__all__ = ["connection_pool"]


def connection_pool(injected: Any, **settings: Any) -> Any:
    """A pool of connections to the server of an injected client or pool, with settings of redis-py's own:

        texts = redis.Redis.from_pool(connection_pool(client, decode_responses=True))

    It ends with the scope of what was injected. Raises TypeError for a client that was not injected.
    """
    own = getattr(injected, "connection_pool", injected)
    options = dict(getattr(own, "connection_kwargs", {}))
    if "wire" not in options:
        raise TypeError("connection_pool() takes a Redis client, or a pool, that was injected")
    return type(own)(connection_class=own.connection_class, **{**options, **settings})
