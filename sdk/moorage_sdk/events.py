"""``from moorage_sdk.events import Event, Events``"""

from __future__ import annotations

from moorage_sdk.services.events import Event, Events, Subscription

__all__ = ["Event", "Events", "Subscription"]
