"""``from moorage_sdk.config import Config``"""

from __future__ import annotations

from moorage_sdk.markers import Settings
from moorage_sdk.services.config import Config

__all__ = ["Config", "Settings"]
