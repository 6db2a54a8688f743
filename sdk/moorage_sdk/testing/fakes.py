"""The fakes that every test gets. A new service gets its line here."""

from __future__ import annotations

from typing import Callable, Tuple

from moorage_sdk.testing.base import Fake

FAKES: Tuple[Callable[[], Fake], ...] = ()
