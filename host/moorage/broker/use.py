"""What an installation makes of what it may do: its calls, their bytes, and which of its rights allowed them. No I/O.

Counting is on every call's way, so it is a few additions. Methods are counted by the names of the contract and rights
by the grants that there are: no plugin can make either grow.
"""

from __future__ import annotations

import time
from collections.abc import Container
from dataclasses import dataclass

from moorage_proto.capability import Capability

#: Stands for all methods that the host does not have.
UNKNOWN = ""


@dataclass(slots=True)
class MethodUse:
    #: That passed the gate.
    calls: int = 0
    #: Calls, and items of streams, that were refused.
    denied: int = 0
    #: Of requests, and of replies; of streams, their items'.
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class RightUse:
    #: Calls that it allowed.
    count: int = 0
    #: The last of them, as seconds since the epoch.
    at: float = 0.0


class Use:
    """Of one installation, by all its workers, while the host runs. On the event loop's thread."""

    __slots__ = ("_known", "methods", "rights", "since")

    def __init__(self, known: Container[str]) -> None:
        """``known``: paths of the methods that there are."""
        self._known = known
        #: By path.
        self.methods: dict[str, MethodUse] = {}
        #: By right in effect; since the last ``take_rights``.
        self.rights: dict[Capability, RightUse] = {}
        self.since = time.time()

    def of(self, path: str) -> MethodUse:
        """The counters of one method."""
        found = self.methods.get(path)
        if found is None:
            path = path if path in self._known else UNKNOWN
            found = self.methods.setdefault(path, MethodUse())
        return found

    def allowed(self, right: Capability) -> None:
        found = self.rights.get(right)
        if found is None:
            found = self.rights[right] = RightUse()
        found.count += 1
        found.at = time.time()

    def take_rights(self) -> dict[Capability, RightUse]:
        """What was counted since the last time; counting begins anew."""
        taken, self.rights = self.rights, {}
        return taken

    def give_back(self, taken: dict[Capability, RightUse]) -> None:
        """What could not be written is counted on."""
        for right, use in taken.items():
            found = self.rights.setdefault(right, RightUse())
            found.count += use.count
            found.at = max(found.at, use.at)
