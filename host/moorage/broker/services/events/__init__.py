"""The bus of events among plugins and the application."""

from __future__ import annotations

from moorage.broker.services.events.hub import EventHub
from moorage.broker.services.events.service import EventsService

__all__ = ["EventHub", "EventsService"]
