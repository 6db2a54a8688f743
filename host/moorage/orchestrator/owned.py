"""Tasks that have an owner and a name."""

from __future__ import annotations

from moorage.owned import OwnedTasks

__all__ = ["OwnedTasks"]
