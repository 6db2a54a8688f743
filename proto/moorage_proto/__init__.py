"""The contracts between a Moorage host and its plugins: all that both sides know of each other."""

from __future__ import annotations

__version__ = "0.1.0"

#: Protocol versions this package speaks, newest first.
PROTOCOL_VERSIONS = (1,)
