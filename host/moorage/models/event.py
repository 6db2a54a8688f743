"""Events that plugins and the application publish, and the functions of plugins that are called with them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from moorage_proto.capability import Capability


@dataclass(frozen=True)
class PluginEvent:
    #: The same for all who receive it.
    id: str
    topic: str
    #: Installation that published it; empty: the application.
    source: str
    time: datetime
    #: Plain values; shared by all who receive it, and never changed.
    data: Any
    #: Events that were lost before this one to the one who reads it.
    missed: int = 0
    #: Of the host's memory that its data take, about.
    size_bytes: int = 0
    #: The data as they cross, which is done once for all who receive it; empty: not known.
    packed: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True)
class EventReply:
    data: Any
    #: Installation that replied; empty: the application.
    source: str


@dataclass(frozen=True)
class HandlerView:
    """A function of a plugin that is called with events."""

    name: str
    #: With globs: "track.*".
    topic: str
    #: Whether what it returns is the reply to a request.
    replies: bool
    data_schema: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, event: PluginEvent) -> bool:
        return matches(self.topic, event.topic)


@functools.lru_cache(maxsize=8192)
def matches(pattern: str, topic: str) -> bool:
    """By the globs of capabilities: ``*`` within a word, ``**`` across."""
    return Capability("events.subscribe", pattern).covers(Capability("events.subscribe", topic))
