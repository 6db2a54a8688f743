"""The client library, which is an extra of the host."""

from __future__ import annotations

from typing import Any

from moorage.errors import ExitCode, MoorageError

fakeredis: Any
redis: Any
try:
    import fakeredis
    import redis
    import redis.asyncio
except ImportError:
    fakeredis = redis = None


class RedisClientMissing(MoorageError):
    code = "redis_client_missing"
    exit_code = ExitCode.CONFIG

    def __init__(self) -> None:
        super().__init__(
            "Redis needs the packages redis and fakeredis. Install them with: pip install 'moorage[redis]'"
        )


def client() -> Any:
    """The module ``redis``.

    Raises RedisClientMissing.
    """
    if redis is None:
        raise RedisClientMissing
    return redis
