"""Whether the rights under which a request is made name its host as it is, and not by a wildcard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moorage.broker.egress.private import may_be_private
from moorage_proto.capability import Capability
from moorage_proto.http_access import Outgoing, is_named


@dataclass(frozen=True, slots=True)
class Named:
    """Asks the present grants each time."""

    covering: Callable[[Capability], Sequence[Capability]]
    outgoing: Outgoing

    def __call__(self) -> bool:
        return is_named(self.outgoing, self.covering)

    def may_be_private(self) -> bool:
        return may_be_private(self.outgoing.url.host, named=self(), covering=self.covering)
