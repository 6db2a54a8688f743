"""One entry of the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AuditKind(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    #: A link ended because the worker broke the protocol or its identity was wrong.
    LINK_REFUSED = "link_refused"
    #: A person or API client changed something.
    ACTION = "action"


@dataclass(frozen=True)
class AuditEntry:
    time: datetime
    kind: AuditKind
    #: The installation concerned, or empty.
    installation: str
    #: Who acted: incarnation id, or a person.
    actor: str
    #: Method path or command.
    action: str
    #: The capability in question, or empty.
    capability: str = ""
    message: str = ""
    execution: str = ""
    #: How many equal occurrences this entry stands for.
    count: int = 1
    id: int = 0
