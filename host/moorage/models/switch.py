"""The switch that lets no installation work, whatever is wanted of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SwitchState:
    is_on: bool = True
    #: Why it was set so; may be empty.
    reason: str = ""
    #: Empty: nobody has ever touched it.
    set_by: str = ""
    set_at: datetime | None = None

    @property
    def off(self) -> str:
        """How it was switched off, in the words of a sentence: "switched off by dana: maintenance". Empty: it is on."""
        if self.is_on:
            return ""
        return f"switched off by {self.set_by or 'someone'}{f': {self.reason}' if self.reason else ''}"
