"""Which installations: by what they are, rather than by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from moorage_proto.capability import CapabilityInvalid
from moorage_proto.capability import parse as parse_capability

#: Selectors within selectors, and all of them together: a person should be able to read it.
MAX_DEPTH = 8
MAX_SELECTORS = 64

#: Of one selector; and characters of each text.
MAX_TAGS = 32
MAX_CHARACTERS = 1_000

_NAME = re.compile(r"[a-z0-9*-]+")
_PREDICATE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SEPARATORS = re.compile(r"[-_.]+")


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

    def predicates(self) -> frozenset[str]:
        """Names of all that it asks, at any depth."""
        return frozenset(each.predicate for each in self.parts() if each.predicate)

    def capabilities(self) -> frozenset[str]:
        """All that it asks about, at any depth."""
        return frozenset(each.capability for each in self.parts() if each.capability)

    def parts(self) -> Iterator[Selector]:
        """Itself, and all selectors in it."""
        yield self
        for each in (*self.all, *self.any, *self.none):
            yield from each.parts()


class SelectorInvalid(ValueError):
    """The sentence names the part: "select.any[1].version: ..."."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


def parse_selector(record: object, where: str = "select") -> Selector:
    """Reads what TOML or JSON hold: ``{ tags = ["etl"], version = ">=1.2", none = [{ name = "geo-*" }] }``.

    ``where`` is what the record is called in sentences. Raises SelectorInvalid.
    """
    selector = _parsed(record, where, 1)
    if sum(1 for _ in selector.parts()) > MAX_SELECTORS:
        raise SelectorInvalid(where, f"it is made of more than {MAX_SELECTORS} selectors; make it simpler.")
    return selector


def format_selector(selector: Selector) -> dict[str, Any]:
    """The record that ``parse_selector`` reads; what says nothing is left out."""
    record: dict[str, Any] = {"tags": list(selector.tags)} if selector.tags else {}
    record |= {key: text for key in _TEXTS if (text := getattr(selector, key))}
    return record | {
        key: [format_selector(each) for each in found] for key in _LISTS if (found := _part(selector, key))
    }


def describe(selector: Selector) -> str:
    """What it selects, for people: "installations that are tagged etl and whose version is >=1.2"."""
    if selector == Selector():
        return "every installation"
    return f"installations {_conditions(selector)}"


def _parsed(record: object, where: str, depth: int) -> Selector:
    if not isinstance(record, Mapping):
        raise SelectorInvalid(where, f"{record!r:.80} is no selector; write a table such as {{ tags = ['etl'] }}.")
    if depth > MAX_DEPTH:
        raise SelectorInvalid(where, f"selectors are within each other more than {MAX_DEPTH} deep; make it simpler.")
    for key in record:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it may hold: {', '.join(_KEYS)}."
            raise SelectorInvalid(where, f"{key!r:.80} is no part of a selector; {hint}")
    tags = _tags(record.get("tags", ()), f"{where}.tags")
    texts = {key: _text(record.get(key, ""), f"{where}.{key}", key) for key in _TEXTS}
    every, some, none = (_selectors(record.get(key, ()), f"{where}.{key}", depth) for key in _LISTS)
    return Selector(tags, **texts, all=every, any=some, none=none)


def _selectors(found: object, where: str, depth: int) -> tuple[Selector, ...]:
    if not isinstance(found, (list, tuple)):
        raise SelectorInvalid(where, f"{found!r:.80} is no list of selectors; write [{{ tags = ['etl'] }}].")
    if len(found) > MAX_SELECTORS:
        raise SelectorInvalid(where, f"it holds more than {MAX_SELECTORS} selectors; make it simpler.")
    return tuple(_parsed(each, f"{where}[{index}]", depth + 1) for index, each in enumerate(found))


def _tags(found: object, where: str) -> tuple[str, ...]:
    if not isinstance(found, (list, tuple)):
        raise SelectorInvalid(where, f"{found!r:.80} is no list of tags; write ['etl'].")
    if len(found) > MAX_TAGS:
        raise SelectorInvalid(where, f"it holds more than {MAX_TAGS} tags.")
    for index, tag in enumerate(found):
        if not isinstance(tag, str) or not tag or len(tag) > MAX_CHARACTERS or not tag.isprintable():
            raise SelectorInvalid(f"{where}[{index}]", f"{tag!r:.80} is not a tag; write a text such as 'etl'.")
    return tuple(dict.fromkeys(found))


def _text(found: object, where: str, key: str) -> str:
    if not isinstance(found, str) or len(found) > MAX_CHARACTERS:
        raise SelectorInvalid(where, f"{found!r:.80} is not a text of at most {MAX_CHARACTERS} characters.")
    try:
        return _TEXTS[key](found.strip()) if found.strip() else ""
    except ValueError as error:
        raise SelectorInvalid(where, str(error)) from error


def _version(text: str) -> str:
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        raise ValueError(f"{text!r:.80} is no version specifier; write one such as '>=1.2,<2'.") from None


def _name(text: str) -> str:
    """As names are normalised: PyPI's rule."""
    name = _SEPARATORS.sub("-", text).lower()
    if not _NAME.fullmatch(name):
        raise ValueError(f"{text!r:.80} fits no name of an installation; write one such as 'geo-*'.")
    return name


def _capability(text: str) -> str:
    try:
        return str(parse_capability(text))
    except CapabilityInvalid as error:
        raise ValueError(f"{error}.") from error


def _predicate(text: str) -> str:
    if not _PREDICATE.fullmatch(text):
        raise ValueError(f"{text!r:.80} is no name of a predicate; write letters, digits, '_', '.' and '-'.")
    return text


_TEXTS = {"version": _version, "name": _name, "capability": _capability, "predicate": _predicate}
_LISTS = ("all", "any", "none")
_KEYS = tuple(field.name for field in fields(Selector))


def _part(selector: Selector, key: str) -> tuple[Selector, ...]:
    found: tuple[Selector, ...] = getattr(selector, key)
    return found


def _conditions(selector: Selector) -> str:
    return " and ".join(_condition_texts(selector)) or "of any kind"


def _condition_texts(selector: Selector) -> Iterator[str]:
    if selector.tags:
        yield f"that are tagged {' and '.join(selector.tags)}"
    if selector.version:
        yield f"whose version is {selector.version}"
    if selector.name:
        yield f"whose name fits {selector.name}"
    if selector.capability:
        yield f"that may {selector.capability}"
    if selector.predicate:
        yield f"of which the application's predicate {selector.predicate} is true"
    for each in selector.all:
        yield _conditions(each)
    if selector.any:
        yield f"({' or '.join(map(_conditions, selector.any))})"
    for each in selector.none:
        yield f"not those {_conditions(each)}"
