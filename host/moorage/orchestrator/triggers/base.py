"""The contract of sources: what brings signals from outside, and acknowledges each once its outcome is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from moorage.errors import MoorageError
from moorage.models.execution import Execution


@dataclass(frozen=True)
class Signal:
    """One message, event or request that asks for an execution."""

    #: The same for the same signal however often it is delivered, and another's is another within its trigger:
    #: "orders/0/17". Empty: it cannot come twice.
    key: str
    #: What the task is given.
    input: Any
    #: Where it was found, for people.
    position: str = ""


class Fate(Enum):
    """What a source does with a signal whose execution has ended."""

    #: Its outcome is recorded: acknowledge it.
    DONE = "done"
    #: Recorded too, and every attempt has failed: put it aside in the dead letter, then acknowledge it.
    POISON = "poison"


@dataclass(frozen=True)
class Taken:
    execution: Execution
    fate: Fate


class NotNow(MoorageError):
    """The signal was not taken and is to be left where it is, unacknowledged: its installation may not run now, the
    host stops, or the store fails. The source will be cancelled, or called again.
    """

    code = "not_now"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Door(Protocol):
    """Where a source brings its signals."""

    async def take(self, signal: Signal) -> Taken:
        """Submits it, waiting for room in the queue, and returns when its outcome is recorded. A signal that was taken
        before is not run again: what became of it is returned.

        Raises NotNow. Cancelled, the execution goes on; whoever brings the signal again is told of it.
        """

    @property
    def slots(self) -> int:
        """Signals that the source should have in the door at one time, at most: the back-pressure. At least 1."""


class Source(Protocol):
    """One trigger's source. Made anew each time that it is to be listened to; used once."""

    async def run(self, door: Door) -> None:
        """Listens until it is cancelled, and leaves nothing behind then: what was not acknowledged comes again.

        Signals are taken beside each other, ``door.slots`` of them at most. Returns when there can be no more signals.
        Raises SourceFailed when it cannot listen; it is made and run again after a backoff.
        """


class SourceFailed(MoorageError):
    """A sentence for people, with the next step; never a password or a whole connection string."""

    code = "source_failed"
