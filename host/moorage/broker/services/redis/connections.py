"""How connections are made: redis.asyncio's own, to a server by its URL, or fakeredis' to the one in the host.

Both come to the same class of connection, so that everything above is one code path.
"""

from __future__ import annotations

from typing import Any, Protocol

from moorage.broker.services.redis.library import client
from moorage.broker.services.redis.line import CONNECT_SECONDS
from moorage.broker.services.redis.parser import reply_parser
from moorage.errors import ExitCode, Invalid


class RedisSettingsInvalid(Invalid):
    code = "redis_settings_invalid"
    exit_code = ExitCode.CONFIG

    def __init__(self, server: str) -> None:
        super().__init__(
            f"redis.{server}.url is no URL of a Redis server; write redis://user:password@host:port/0, rediss://...,"
            ' unix://..., or "embedded".'
        )


class Connections(Protocol):
    def new(self, **options: Any) -> Any:
        """A connection that is not open yet, with the settings' own login and database; ``options`` replace them."""


class ConnectionsByUrl:
    def __init__(self, name: str, url: str) -> None:
        """Raises RedisSettingsInvalid; its sentence never holds the URL, which may hold a password."""
        try:
            options = client().asyncio.connection.parse_url(url)
        except ValueError:
            raise RedisSettingsInvalid(name) from None
        self._class = options.pop("connection_class", client().asyncio.Connection)
        self._options = options

    def new(self, **options: Any) -> Any:
        return self._class(**{**self._options, **common_options(), **options})


def common_options() -> dict[str, Any]:
    """The broker decides on time and on trying again, and reads what the server says as it is."""
    redis = client()
    return {
        "protocol": 2,
        "parser_class": reply_parser(),
        "decode_responses": False,
        "retry": redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0),
        "retry_on_error": [],
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "health_check_interval": 0,
        "driver_info": None,
        "client_name": None,
    }
