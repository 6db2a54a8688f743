"""How thoroughly properties are tested: with few examples each time, with many where MOORAGE_THOROUGH=1 asks for it."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: how long an example takes depends on what else the machine does, and each test has its own timeout.
settings.register_profile("quick", max_examples=15, deadline=None)
settings.register_profile("thorough", max_examples=200, deadline=None)
settings.load_profile("thorough" if os.environ.get("MOORAGE_THOROUGH") == "1" else "quick")

# Set by pytest-xdist: what is printed into a pipe has whole lines, unless someone asks for a width.
os.environ.pop("COLUMNS", None)
