"""Settings of connection pools, for every version of redis-py from 4.5 on."""

from __future__ import annotations

import inspect
from typing import Any, Dict, Type

from redis.backoff import NoBackoff

from moorage_sdk.services.redis.wire import Wire


def pool_options(connection: Type[Any], retry: Type[Any], wire: Wire) -> Dict[str, Any]:
    """Nothing is tried again by itself: whether a command took effect may be unknown, and the plugin decides."""
    return {"wire": wire, "retry": retry(NoBackoff(), 0), **second_version(connection)}


def second_version(connection: Type[Any]) -> Dict[str, Any]:
    """Of the Redis protocol; before redis-py 5 there was no other, and no setting. The third is for what needs a
    connection of its own: client-side caching, maintenance notifications.
    """
    chooses = any(
        "protocol" in inspect.signature(vars(base)["__init__"]).parameters
        for base in connection.__mro__
        if "__init__" in vars(base)
    )
    return {"protocol": 2} if chooses else {}
