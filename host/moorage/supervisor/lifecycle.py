"""The states of an incarnation, as one pure table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from moorage.models.incarnation import IncarnationState, IncarnationStatus

STARTING, READY = IncarnationState.STARTING, IncarnationState.READY
DRAINING, STOPPED = IncarnationState.DRAINING, IncarnationState.STOPPED


class Event(StrEnum):
    """What may happen to an incarnation."""

    #: The plugin has loaded and answers.
    LOADED = "loaded"
    #: Someone wants it gone: no new work, what runs may finish.
    STOP_REQUESTED = "stop_requested"
    #: The kernel says the process is gone, or it never came to be.
    ENDED = "ended"


@dataclass(frozen=True)
class Transition:
    """A step of an incarnation from one state to another."""

    before: IncarnationState
    status: IncarnationStatus
    #: Words or sentences for people.
    reason: str


_TABLE: dict[tuple[IncarnationState, Event], IncarnationState] = {
    (STARTING, Event.LOADED): READY,
    (STARTING, Event.STOP_REQUESTED): DRAINING,
    (STARTING, Event.ENDED): STOPPED,
    (READY, Event.STOP_REQUESTED): DRAINING,
    (READY, Event.ENDED): STOPPED,
    (DRAINING, Event.STOP_REQUESTED): DRAINING,
    # A plugin that finishes loading while it is being stopped stays on its way out.
    (DRAINING, Event.LOADED): DRAINING,
    (DRAINING, Event.ENDED): STOPPED,
    (STOPPED, Event.STOP_REQUESTED): STOPPED,
    (STOPPED, Event.ENDED): STOPPED,
}


class TransitionImpossible(RuntimeError):
    """A bug in the supervisor: the event cannot happen in that state."""

    def __init__(self, state: IncarnationState, event: Event) -> None:
        super().__init__(f"an incarnation that is {state} cannot become anything by {event}")


def after(state: IncarnationState, event: Event) -> IncarnationState:
    """The state that follows. Raises TransitionImpossible."""
    try:
        return _TABLE[state, event]
    except KeyError:
        raise TransitionImpossible(state, event) from None
