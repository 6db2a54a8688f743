"""Where the host may connect to on behalf of a plugin: names are resolved once, every address checked, and pinned."""

from __future__ import annotations
