"""What an installation makes of what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class MethodUse:
    """Of one method, by all workers of an installation, while the host runs."""

    #: "KafkaService.Produce"; empty: of all methods that the host does not have.
    method: str
    calls: int
    #: Calls, and items of streams, that were refused.
    denied: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class UseView:
    #: Since when methods are counted; None: it has made no call while this host runs.
    since: datetime | None
    #: Those called most come first.
    methods: tuple[MethodUse, ...]
