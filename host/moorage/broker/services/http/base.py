"""What the parts of the HTTP service agree on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from moorage.models.installation import InstallationId

#: The value of an installation's secret; None: there is none of that name.
Lookup = Callable[[InstallationId, str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no request of a plugin goes beyond, whatever it asks for."""

    connect_seconds: float
    #: Between two pieces that are sent or received.
    idle_seconds: float
    request_bytes: int
    response_bytes: int
    #: Of one installation.
    connections: int
    connections_per_host: int


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Of one request, in seconds; the plugin's own, where they are shorter."""

    connect: float
    read: float
    write: float
    #: None: until the call's deadline.
    pool: float | None
