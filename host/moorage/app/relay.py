"""The way of events to other hosts, where the settings name one."""

from __future__ import annotations

from typing import Any

from moorage.broker.services.events import EventHub
from moorage.broker.services.events.relay import RedisRelay
from moorage.broker.services.redis.library import client
from moorage.config.services.redis import EMBEDDED
from moorage.config.settings import Settings, SettingsInvalid


def relay_of(settings: Settings, hub: EventHub) -> RedisRelay | None:
    """Raises SettingsInvalid, and RedisClientMissing where the settings ask for what is not installed."""
    name = settings.events.redis
    if name is None:
        return None
    backend = settings.redis.get(name)
    if backend is None:
        raise SettingsInvalid(f"events.redis = {name!r} names no Redis server of these settings; add [redis.{name}].")
    if backend.url == EMBEDDED:
        problem = f"events.redis = {name!r} names the Redis server that is in this host, which no other host can reach"
        raise SettingsInvalid(f"{problem}. Give redis.{name}.url the address of one that all hosts use.")
    library = client()

    def connect() -> Any:
        return library.asyncio.Redis.from_url(backend.url, socket_connect_timeout=backend.timeout)

    relay = RedisRelay(connect, lambda event: hub.arrived(event, by=relay))
    hub.attach(relay)
    return relay
