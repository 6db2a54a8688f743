"""The contracts between a Moorage host and its plugins: all that both sides know of each other."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"

#: Protocol versions this package speaks, newest first.
PROTOCOL_VERSIONS = (1,)


def include() -> str:
    """For protoc's ``-I``: the folder in which ``moorage_proto/access.proto`` is."""
    return str(Path(__file__).parents[1])
