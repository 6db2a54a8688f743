"""What a person asks to grant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GrantOrder:
    """Capabilities by name, or by what the manifest says of them, or both."""

    capabilities: tuple[str, ...] = ()
    #: All that it requires.
    required: bool = False
    #: All that it can do without.
    optional: bool = False
    #: Why, in the words of the person.
    because: str = ""
    #: Calls under them are refused while the audit cannot be written.
    fail_closed: bool = False
