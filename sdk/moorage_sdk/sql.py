"""``from moorage_sdk.sql import Connection``: the PEP 249 driver, under a short name."""

from __future__ import annotations

from moorage_sdk.services.sql import *  # noqa: F403 - the same module, all of its public names
from moorage_sdk.services.sql import __all__  # noqa: F401 - re-exported
