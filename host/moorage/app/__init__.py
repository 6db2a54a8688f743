"""The composition root: the only place that chooses between implementations, and the face for applications."""

from moorage.app.host import Host
from moorage.config.settings import Settings

__all__ = ["Host", "Settings"]
