"""For all tests: how thoroughly properties are tested, and what the tests' own process does about its memory."""

from __future__ import annotations

import atexit
import gc
import os

from hypothesis import settings

# No deadline: how long an example takes depends on what else the machine does, and each test has its own timeout.
settings.register_profile("quick", max_examples=15, deadline=None)
settings.register_profile("thorough", max_examples=200, deadline=None)
settings.load_profile("thorough" if os.environ.get("MOORAGE_THOROUGH") == "1" else "quick")

# Set by pytest-xdist: what is printed into a pipe has whole lines, unless someone asks for a width.
os.environ.pop("COLUMNS", None)

# What is imported and collected stays to the end. Looking through it for garbage again and again, and once more when
# the process ends, takes a tenth of the time of the quick tests.
gc.disable()
atexit.register(gc.freeze)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
