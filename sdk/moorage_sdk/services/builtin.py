"""The built-in faces. A new one gets its line here."""

from __future__ import annotations

from typing import Tuple

from moorage_sdk.services.base import Face

FACES: Tuple[Face, ...] = ()
