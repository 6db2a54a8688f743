"""Which installations: by what they are, rather than by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Selector:
    """All that is given must hold; an empty one selects every installation."""

    #: Each of these.
    tags: tuple[str, ...] = ()
    #: A specifier as of packages: ">=1.2,<2".
    version: str = ""
    #: A glob over names: "geo-*".
    name: str = ""
    #: It may do this: "sql.read:users".
    capability: str = ""
    #: A predicate that the application registered under this name says so.
    predicate: str = ""
    #: Every one of these holds; at least one of these does; none of these does.
    all: tuple[Selector, ...] = ()
    any: tuple[Selector, ...] = ()
    none: tuple[Selector, ...] = ()
