"""Fields with any number of values: lists, sets, tuples and dictionaries, from what arrived and back."""

from __future__ import annotations

import collections
import collections.abc
from typing import Any, Dict, Iterable, Mapping, Set

from moorage_proto.typed.records import Container

#: Members of a set, or keys of a dictionary, that may have one hash.
MAX_ALIKE = 100


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, (str, bytes, bytearray, collections.abc.Mapping)) or not hasattr(value, "__iter__"):
        raise TypeError
    return value  # type: ignore[no-any-return]  # it has __iter__


def _pairs(value: Any) -> Iterable[Any]:
    if not isinstance(value, collections.abc.Mapping):
        raise TypeError
    return value.items()


def _check_hashes(keys: Iterable[Any]) -> None:
    """Of UUIDs, decimals and floats, whoever sends them chooses the hashes, and for many of one hash a set takes hours.

    Raises ValueError.
    """
    _, most = max(collections.Counter(map(hash, keys)).items(), key=lambda item: item[1], default=(0, 0))
    if most > MAX_ALIKE:
        raise ValueError(f"more than {MAX_ALIKE} of them have the same hash")


def _set(items: Iterable[Any]) -> Set[Any]:
    listed = list(items)
    _check_hashes(listed)
    return set(listed)


def _dictionary(pairs: Iterable[Any]) -> Dict[Any, Any]:
    listed = list(pairs)
    _check_hashes(key for key, _ in listed)
    made = dict(listed)
    if len(made) != len(listed):
        raise ValueError("a key comes twice")
    return made


_LIST = Container("a list", list, _items)
_SET = Container("a set", _set, _items)
_FROZEN = Container("a set", lambda items: frozenset(_set(items)), _items)
TUPLE = Container("a tuple", tuple, _items)
DICTIONARY = Container("a dictionary", _dictionary, _pairs)

CONTAINERS: Mapping[Any, Container] = {
    list: _LIST,
    collections.abc.Sequence: _LIST,
    collections.abc.MutableSequence: _LIST,
    collections.abc.Collection: _LIST,
    set: _SET,
    collections.abc.MutableSet: _SET,
    collections.abc.Set: _FROZEN,
    frozenset: _FROZEN,
}
DICTIONARIES = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})
