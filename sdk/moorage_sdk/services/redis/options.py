"""Settings of connection pools, for every version of redis-py from 4.5 on."""

from __future__ import annotations

import inspect
from typing import Any, Dict, Type

from redis.backoff import NoBackoff

from moorage_sdk.services.redis.wire import Wire


def pool_options(connection: Type[Any], retry: Type[Any], wire: Wire) -> Dict[str, Any]:
    """Nothing is tried again by itself: whether a command took effect may be unknown, and the plugin decides."""
    options: Dict[str, Any] = {"wire": wire, "retry": retry(NoBackoff(), 0)}
    if "protocol" in inspect.signature(connection.__init__).parameters:
        # Version 3 is for what needs a connection of its own: client-side caching, maintenance notifications.
        options["protocol"] = 2
    return options
