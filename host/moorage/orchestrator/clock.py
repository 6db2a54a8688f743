"""Time, as the orchestrator sees it; tests bring their own."""

from __future__ import annotations

from moorage.clock import Alarm, Clock, SystemClock, sleep

__all__ = ["Alarm", "Clock", "SystemClock", "sleep"]
