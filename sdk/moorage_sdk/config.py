"""``from moorage_sdk.config import Config``"""

from __future__ import annotations

from moorage_sdk.markers import Settings
from moorage_sdk.services.config import Config
from moorage_sdk.settings import ConfigChange

__all__ = ["Config", "ConfigChange", "Settings"]
