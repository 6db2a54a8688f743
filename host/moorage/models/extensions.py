"""Extension points: what plugins implement of them, and what calling them came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from moorage.models.installation import InstallationId

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Extension:
    """What a loaded plugin says that it implements: one version of one extension point. Nothing of it is believed."""

    point: str
    version: int
    #: As the plugin names them.
    methods: tuple[str, ...]
    #: A FileDescriptorProto: the types that it was written for.
    contract: Any = field(repr=False)


@dataclass(frozen=True)
class ExtensionCall:
    """What crosses to a worker."""

    point: str
    version: int
    method: str
    #: The request message of the method.
    arguments: bytes = field(repr=False)


class FailureKind(StrEnum):
    #: It had not answered when the time was over; its work is rolled back.
    TIMED_OUT = "timed_out"
    #: It raised.
    FAILED = "failed"
    #: Its worker ended under the call.
    CRASHED = "crashed"
    #: It had no ready worker, or no room for one more call, until the time was over.
    NOT_READY = "not_ready"
    #: It answered with what the contract does not allow.
    INVALID = "invalid"
    #: It may not be called, or does not implement the method; of ``call_one`` alone, the others leave such ones out.
    NOT_CALLED = "not_called"


@dataclass(frozen=True)
class ExtensionFailure:
    """Why one installation has not answered."""

    installation: InstallationId
    kind: FailureKind
    #: For people, with what the plugin itself said.
    sentence: str
    #: Of what the plugin raised; empty: it raised nothing.
    error_type: str = ""
    traceback: str = ""

    def __str__(self) -> str:
        return f"{self.installation}: {self.sentence}"


@dataclass(frozen=True)
class Answers(Generic[Value]):
    """What all that were called came to."""

    #: In the order of the installations' names.
    by_installation: Mapping[InstallationId, Value]
    #: In the same order.
    failures: tuple[ExtensionFailure, ...] = ()

    @property
    def values(self) -> list[Value]:
        """The answers, in the order of the installations' names."""
        return list(self.by_installation.values())


@dataclass(frozen=True)
class FirstAnswer(Generic[Value]):
    """The first that was an answer: not None."""

    #: None: nobody gave one.
    value: Value | None = None
    #: Who gave it; empty: nobody.
    installation: InstallationId = ""
    #: Of those that had failed by then.
    failures: tuple[ExtensionFailure, ...] = ()


class Standing(StrEnum):
    """How what a plugin implements stands to the host's extension point."""

    #: It implements the host's version, and is called.
    CURRENT = "current"
    #: It implements an older version that the host still calls.
    OLD = "old"
    TOO_OLD = "too old"
    TOO_NEW = "too new"
    #: It has the version, with other types.
    DIFFERENT = "different"
    #: The application has no such extension point.
    UNKNOWN = "unknown"
    #: It lacks the right to be called.
    NOT_GRANTED = "not granted"
    #: It may be called, and has not been loaded since the host started: what it implements shows then.
    NOT_LOADED = "not loaded"


@dataclass(frozen=True)
class CallCounts:
    """Of one installation at one extension point, since the host started."""

    calls: int = 0
    failures: int = 0
    #: The latest, as a sentence; empty: there was none.
    last_failure: str = ""
    last_failure_at: datetime | None = None


@dataclass(frozen=True)
class ImplementationView:
    installation: InstallationId
    point: str
    #: 0: not known.
    version: int
    methods: tuple[str, ...]
    standing: Standing
    #: What to know of it, and what to do; empty: there is nothing.
    sentence: str = ""
    counts: CallCounts = CallCounts()


@dataclass(frozen=True)
class ExtensionPointView:
    """One that the application declares."""

    name: str
    version: int
    #: Older versions that are called, too.
    compatible: tuple[int, ...]
    methods: tuple[str, ...]
    #: By installation.
    implementations: tuple[ImplementationView, ...]


@dataclass(frozen=True)
class CallLimits:
    """What counts where a call says nothing else."""

    timeout: timedelta = timedelta(seconds=5)
    #: Calls of one installation at one time; further ones wait, as long as their time lasts.
    at_once: int = 8
