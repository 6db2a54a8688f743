"""Each task floods in its own way for as many seconds as it is told, and returns what it got done, counted."""

from flooder import calls, disk, handles, logs, machine, messages
from flooder.base import plugin

__all__ = ["calls", "disk", "handles", "logs", "machine", "messages", "plugin"]
