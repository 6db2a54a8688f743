"""The SQL service: databases behind the broker, each statement checked while the database compiles it."""

from __future__ import annotations

from moorage.broker.services.sql.service import SqlService

__all__ = ["SqlService"]
