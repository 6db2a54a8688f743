"""From which level on loggers of a plugin send their records."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

#: Of all loggers, where nobody said otherwise.
DEFAULT_LEVEL = logging.INFO

#: Those that people write by name.
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


def level_name(level: int) -> str:
    """ "DEBUG", or the number of one that has no name."""
    return next((name for name, number in LEVELS.items() if number == level), str(level))


@dataclass(frozen=True)
class LevelSetting:
    """What a person has set."""

    #: Empty: all loggers that have no level of their own.
    logger: str
    #: Numeric level of Python's logging: 10 is DEBUG.
    level: int
    #: When it ends by itself; None: it does not.
    until: datetime | None
    set_by: str
    set_at: datetime


@dataclass(frozen=True)
class WorkerLevels:
    """What workers are told."""

    level: int = DEFAULT_LEVEL
    loggers: Mapping[str, int] = field(default_factory=dict)
