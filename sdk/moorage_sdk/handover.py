"""What one worker of an installation leaves to the one that takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Handover:
    """Injected into ``on_load``, ``on_upgrade`` and providers that ask for it by this annotation.

    ``Optional[Handover]`` is None where nothing was handed over: no state, and no other version came before.
    """

    #: What ``export_state`` of the worker before returned, after its way over the wire: None, text, numbers, lists,
    #: records. A worker that died handed nothing over.
    state: Any = None
    #: The version that was ready last; empty: none was.
    from_version: str = ""

    def is_upgrade(self, version: str) -> bool:
        """Whether another version than this one came before."""
        return bool(self.from_version) and self.from_version != version
