"""One line of a plugin's log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Mapping

from moorage.models.installation import InstallationId


@dataclass(frozen=True)
class LogRange:
    """Stored lines that belong together, among which there may be others."""

    #: Running numbers of the first and the last; 0 where there is none.
    first: int = 0
    last: int = 0
    count: int = 0


@dataclass(frozen=True)
class LogLine:
    installation: InstallationId
    #: Incarnation id.
    incarnation: str
    time: datetime
    #: Numeric level of Python's logging.
    level: int
    #: "stdout", "stderr", or the logger's name.
    logger: str
    message: str
    execution: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    exception: str = ""
    #: The store's running number; 0 before it is stored.
    id: int = 0
