"""A host among those that share a store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class HostStatus:
    #: Stable over restarts.
    id: str
    #: The machine's name, for people.
    name: str
    #: Of Moorage.
    version: str
    started_at: datetime
    #: By the store's clock.
    leased_until: datetime
    #: Whether its lease holds at present.
    alive: bool
