"""What an installation may do: what its manifest requests and what people granted, both. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from moorage_proto import url
from moorage_proto.capability import HTTP, STOPS, STORAGE_USE, Capability, size_of
from moorage_proto.glob import compiled


def intersection(first: Capability, second: Capability) -> Capability | None:
    """The right that both include.

    Patterns that overlap without one including the other, such as ``a-*`` and ``*-b``, have none: the operator grants
    what was requested, or something narrower.
    """
    if first.verb != second.verb:
        return None
    if _includes(second, first):
        resource = first.resource
    elif _includes(first, second):
        resource = second.resource
    else:
        return None
    if not first.columns or not second.columns:
        return Capability(first.verb, resource, first.columns or second.columns)
    common = tuple(column for column in first.columns if column in second.columns)
    return Capability(first.verb, resource, common) if common else None


def effective(requested: Iterable[Capability], granted: Iterable[Capability]) -> tuple[Capability, ...]:
    """Requested ∩ granted, without repetitions."""
    granted = tuple(granted)
    both = (intersection(one, other) for one in requested for other in granted)
    return tuple(dict.fromkeys(right for right in both if right is not None))


def missing(
    required: Iterable[Capability], granted: Iterable[Capability], denied: Iterable[Capability] = ()
) -> tuple[Capability, ...]:
    """The required rights that no single grant includes, or that a deny rule takes away whole."""
    granted = tuple(granted)
    denied = tuple(denied)
    return tuple(
        need
        for need in required
        if not any(includes(grant, need) for grant in granted) or any(includes(rule, need) for rule in denied)
    )


def includes(wide: Capability, narrow: Capability) -> bool:
    """Whether everything that the narrow right allows is allowed by the wide one too."""
    if wide.verb != narrow.verb or not _includes(wide, narrow):
        return False
    if not wide.columns:
        return True
    return bool(narrow.columns) and set(narrow.columns) <= set(wide.columns)


def _includes(wide: Capability, narrow: Capability) -> bool:
    """Whether each text that matches the narrow one's pattern matches the wide one's.

    ``Capability.covers`` would take the narrow pattern's wildcards for letters, and so find that ``*`` covers ``**``.
    Both may be a plugin's own words: no regular expression, whose time could grow with a power of them.
    """
    if wide.verb == STORAGE_USE:
        return size_of(wide) >= size_of(narrow)
    if wide.service == HTTP:
        return url.covers(wide.resource, narrow.resource)
    return compiled(wide.resource, STOPS).includes(narrow.resource)
