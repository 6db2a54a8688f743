"""Bounds of one call of the Redis service; both ends know them."""

from __future__ import annotations

from typing import Tuple

MAX_COMMANDS = 1_024
MAX_ARGUMENTS = 16_384

#: A command's arguments, its name first.
Command = Tuple[bytes, ...]
