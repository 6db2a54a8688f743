"""What ``Annotated`` may say to injection beside the type."""

from __future__ import annotations

from dataclasses import dataclass

from moorage_proto.capability import MAIN_BACKEND


@dataclass(frozen=True)
class Backend:
    """Which of several backends: ``Annotated[Session, Backend("analytics")]``. Without it: "main"."""

    name: str = MAIN_BACKEND


class Settings:
    """Marks a parameter as the plugin's whole settings: ``Annotated[MySettings, Settings]``."""
