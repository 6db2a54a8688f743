"""The bus: who announces does not know who listens."""

from __future__ import annotations

from moorage.events.events import Event, Missed
from moorage.events.subscription import Subscription, Subscriptions

#: Events that wait for one slow subscriber.
CAPACITY = 1_000


class EventBus:
    """Announcements in process, on the event loop's thread, in the order in which they are made."""

    def __init__(self) -> None:
        self._subscriptions: Subscriptions[Event] = Subscriptions(lambda lost: Missed("", lost))

    def announce(self, event: Event) -> None:
        """To be called after the fact was written down. Never blocks."""
        self._subscriptions.offer(event)

    def subscribe(self, *kinds: type[Event], capacity: int = CAPACITY) -> Subscription[Event]:
        """Events of these classes and their subclasses, from now on; none named: all. One that does not keep up gets
        a ``Missed`` in place of the oldest."""
        wanted = kinds or (Event,)
        return self._subscriptions.add(capacity, lambda event: isinstance(event, wanted))

    def close(self) -> None:
        """Ends every subscription."""
        self._subscriptions.close()
