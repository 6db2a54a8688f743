"""HTTP: the host makes a plugin's requests, to addresses that it has checked."""

from __future__ import annotations

from moorage.broker.services.http.service import HttpService

__all__ = ["HttpService"]
