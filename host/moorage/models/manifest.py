"""The manifest: what a plugin says of itself. Read by ``moorage.packages.manifest``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Mapping

from moorage.models.selection import Selector
from moorage_proto.capability import Capability

#: How a reload goes: both versions at one time, or one after the other.
ReloadMode = Literal["beside", "in_turn"]


@dataclass(frozen=True)
class Author:
    name: str
    email: str = ""


@dataclass(frozen=True)
class RequestedCapability:
    capability: Capability
    #: Why the plugin needs it, for the person who grants.
    because: str
    required: bool


@dataclass(frozen=True)
class Trigger:
    """What starts executions, as it was declared."""

    #: "interval", "cron", "kafka", "redis", "servicebus", "event", "webhook", "startup", "outcome", or "source", for
    #: one that the application registered.
    kind: str
    #: The expression, topic or name.
    source: str
    task: str = "execute"
    #: What its kind takes, and what all take: docs/triggers.md.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Unique among those of its installation; an upgrade keeps what was set of one that keeps its name.
    name: str = ""
    #: For the task, where the source itself brings none.
    input: Any = None
    #: Of an operator's: all installations that fit, in place of one.
    select: Selector | None = None


@dataclass(frozen=True)
class Limits:
    memory_bytes: int = 256 * 1024 * 1024
    #: What its data folder may hold, where that is less than it was granted (storage.use); None: as much as that.
    data_bytes: int | None = None
    #: How many files and folders.
    data_files: int = 10_000
    #: Longest run of one execution.
    timeout: timedelta = timedelta(minutes=5)
    #: Processes and threads.
    pids: int = 64
    #: Longest time from the request to start until the worker is ready.
    start_timeout: timedelta = timedelta(seconds=30)
    #: Longest time that work may go on when the worker is asked to stop.
    drain_timeout: timedelta = timedelta(seconds=10)
    #: Executions at one time.
    concurrency: int = 1
    #: CPU cores, as a fraction: 0.5.
    cpus: float | None = None
    calls_per_second: float = 20_000
    calls_in_flight: int = 1024
    bytes_per_second: int = 512 * 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    #: PyPI-normalised.
    name: str
    version: str
    #: "churn.plugin:plugin".
    entry_point: str
    description: str = ""
    authors: tuple[Author, ...] = ()
    license: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    requires_python: str = ""
    #: Versions such as "3.9" that are tried first, in this order, where they are installed.
    prefer_python: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    capabilities: tuple[RequestedCapability, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    limits: Limits = field(default_factory=Limits)
    #: JSON Schema of its settings.
    config_schema: Mapping[str, Any] = field(default_factory=dict)
    #: What it says of how its executions are to be run (``[tool.moorage.policy]``): values of a RunPolicy, by key.
    policy: Mapping[str, Any] = field(default_factory=dict)
    #: True: it keeps files of its own in /data.
    private_data: bool = False
    #: True: it uses something else that two of its workers cannot use at one time.
    exclusive: bool = False
    #: How it wants to be reloaded; None: as its data and resources demand.
    reload: ReloadMode | None = None

    @property
    def required(self) -> tuple[Capability, ...]:
        return tuple(request.capability for request in self.capabilities if request.required)
