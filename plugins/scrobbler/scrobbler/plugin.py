"""The entry point: importing the modules declares what the plugin can do."""

from scrobbler import scrobbling, statistics
from scrobbler.declared import plugin

__all__ = ["plugin", "scrobbling", "statistics"]
