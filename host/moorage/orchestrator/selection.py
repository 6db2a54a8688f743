"""Whether a selector selects an installation. Pure.

With three answers, as SQL has them: what an application's predicate could not say is neither true nor false, and what
rests on it selects nothing, negated or not.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from moorage.errors import Invalid
from moorage.models.installation import InstallationId
from moorage.models.selection import Selector, SelectorInvalid, format_selector, parse_selector
from moorage_proto.capability import Capability, Grants, parse
from moorage_proto.glob import compiled


@dataclass(frozen=True)
class Candidate:
    """What is known of an installation that may be selected."""

    name: InstallationId
    version: str
    tags: frozenset[str]
    #: Its effective rights.
    grants: Grants
    #: By predicate: what it says of it. One that is missing was not asked, or did not answer.
    said: Mapping[str, bool]

    def after(self, said: Mapping[str, bool]) -> Candidate:
        """Once these have answered."""
        return replace(self, said=said)


class SelectorRefused(Invalid):
    """It cannot select anything: a part of it is wrong."""

    code = "selector_invalid"


class PredicateUnknown(SelectorRefused):
    code = "predicate_unknown"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        listed = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"The application has no predicate {name!r}; it has: {listed}. It registers them with"
            " Host(..., predicates={...})."
        )


def checked(selector: Selector, predicates: Collection[str]) -> Selector:
    """As ``parse_selector`` would have made it. Raises SelectorRefused; PredicateUnknown for one that is not known."""
    try:
        found = parse_selector(format_selector(selector))
    except SelectorInvalid as error:
        raise SelectorRefused(str(error)) from error
    for name in sorted(found.predicates() - set(predicates)):
        raise PredicateUnknown(name, predicates)
    return found


def selects(selector: Selector, candidate: Candidate) -> bool:
    """Whether all of it holds, for certain."""
    return holds(selector, candidate) is True


def holds(selector: Selector, candidate: Candidate) -> bool | None:
    """None: that depends on what a predicate says that was not asked, or did not answer."""
    conditions = [
        candidate.tags.issuperset(selector.tags),
        not selector.version or _has_version(selector.version, candidate.version),
        not selector.name or compiled(selector.name, "").matches(candidate.name),
        not selector.capability or _may(candidate.grants, selector.capability),
        not selector.predicate or candidate.said.get(selector.predicate),
        *(holds(each, candidate) for each in selector.all),
        *(_opposite(holds(each, candidate)) for each in selector.none),
    ]
    if selector.any:
        conditions.append(_any(holds(each, candidate) for each in selector.any))
    return _all(conditions)


def _all(conditions: Iterable[bool | None]) -> bool | None:
    found = set(conditions)
    return False if False in found else None if None in found else True


def _any(conditions: Iterable[bool | None]) -> bool | None:
    return _opposite(_all(map(_opposite, conditions)))


def _opposite(condition: bool | None) -> bool | None:
    return None if condition is None else not condition


@functools.lru_cache(maxsize=256)
def _specifiers(text: str) -> SpecifierSet:
    return SpecifierSet(text)


def _has_version(specifier: str, version: str) -> bool:
    """A pre-release that somebody has installed counts: ``>=1.2`` selects 1.3rc1. ``<2`` does not select 2.0rc1: that
    is how versions are compared (PEP 440).
    """
    try:
        return _specifiers(specifier).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


@functools.lru_cache(maxsize=256)
def _need(text: str) -> Capability:
    right = parse(text)
    return Capability(right.verb, right.resource, right.columns, wild="*" in right.resource)


def _may(grants: Grants, capability: str) -> bool:
    return grants.decide(_need(capability)).allowed
