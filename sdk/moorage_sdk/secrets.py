"""``from moorage_sdk.secrets import Secrets``"""

from __future__ import annotations

from moorage_sdk.services.secrets import Secret, Secrets

__all__ = ["Secret", "Secrets"]
