"""``from moorage_sdk.storage import Storage``"""

from __future__ import annotations

from moorage_sdk.services.storage import Storage, Usage

__all__ = ["Storage", "Usage"]
