"""The worlds that the tests of the Redis service run in: the kit's fake, the host's embedded server, a real one."""

from __future__ import annotations

from typing import Any

from servers.redis import RedisServer
from service_worlds import HostWorld

from moorage.broker.services.redis import RedisService
from moorage.config.services.redis import RedisBackend
from moorage_proto.capability import Grants
from moorage_sdk.host import HostFacts
from moorage_sdk.scope import Scope
from moorage_sdk.services.base import Ask
from moorage_sdk.services.redis.face import ASYNC, SYNC, RedisFace

EVERYTHING = ("redis.read:**", "redis.write:**", "redis.publish:**", "redis.subscribe:**", "redis.script:**")


class Hosted(HostWorld):
    """The host's service, over one or more servers."""

    def __init__(self, **backends: RedisBackend) -> None:
        self.service = RedisService.from_settings(backends, self._grants_of, "test")
        super().__init__(self.service)

    def _grants_of(self, installation: str) -> Grants:
        return self.broker.grants_of(installation)


def hosted_real(server: RedisServer, **settings: Any) -> Hosted:
    main = RedisBackend(url=server.url, **settings)
    return Hosted(main=main, analytics=RedisBackend(url=f"{server.url[:-1]}1", **settings))


def client(worker: Any, kind: str = SYNC, backend: str = "main", scope: str = "e-1") -> Any:
    """What a plugin is injected with."""
    ask = Ask(kind, backend, worker.channel, Scope(scope, execution=scope), HostFacts("churn"))
    return RedisFace().make(ask).value


def async_client(worker: Any, backend: str = "main") -> Any:
    return client(worker, ASYNC, backend)
