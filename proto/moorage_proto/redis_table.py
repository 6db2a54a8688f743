"""A Redis server's table of commands: which there are, and where among the arguments of each its keys stand.

Read from what the server answers to ``COMMAND`` (redis.io/docs/reference/key-specs), or from ``redis_commands.json``,
which ``scripts/redis_commands`` writes from a real server. Servers before 7.0 tell of keys only in the old way (first,
last, step): what they leave out is then taken from that file.
"""

from __future__ import annotations

import functools
import json
import pkgutil
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

Arguments = Sequence[bytes]

#: Most keys that one command may name: each is a decision of its own.
MAX_KEYS = 65_536

#: How often the word may stand in a command after which keys follow. From each place all that follows is looked at, so
#: that without a bound some thousands of them would be many millions of keys.
MAX_KEYWORDS = 16


class KeysUnclear(ValueError):
    """The arguments do not tell which keys the command would use; the server would refuse it, too."""


@dataclass(frozen=True)
class KeySpec:
    """One way in which keys stand among a command's arguments."""

    flags: FrozenSet[str]
    #: ("index", position) or ("keyword", word, position from which it is sought); None: it cannot be told.
    begin: Optional[Tuple[Any, ...]]
    #: ("range", last, step, limit) or ("keynum", index of the count, index of the first key, step); None as above.
    find: Optional[Tuple[Any, ...]]

    @property
    def is_complete(self) -> bool:
        return self.begin is not None and self.find is not None and "incomplete" not in self.flags

    def keys(self, arguments: Arguments) -> Iterator[bytes]:
        """The keys of a command with these arguments, its name first. More than the server would use, never fewer.

        Raises KeysUnclear.
        """
        for start in self._starts(arguments):
            yield from self._from(start, arguments)

    def _starts(self, arguments: Arguments) -> Iterator[int]:
        assert self.begin is not None, "asked only where it is complete"
        if self.begin[0] == "index":
            if self.begin[1] < len(arguments):
                yield self.begin[1]
            return
        _, word, start = self.begin
        wanted = word.lower().encode()
        # Every occurrence, not the first alone: the keyword may also be a value (XREADGROUP GROUP STREAMS ...), and of
        # options that are given twice the server takes the last (GEORADIUS ... STORE a STORE b).
        positions = range(start, len(arguments)) if start >= 0 else range(1, len(arguments))
        found = [position for position in positions if arguments[position].lower() == wanted]
        if len(found) > MAX_KEYWORDS:
            raise KeysUnclear(f"{word} stands in it more than {MAX_KEYWORDS} times")
        yield from (position + 1 for position in found if position + 1 < len(arguments))

    def _from(self, start: int, arguments: Arguments) -> Iterator[bytes]:
        assert self.find is not None, "asked only where it is complete"
        if self.find[0] == "range":
            _, last, step, limit = self.find
            if last >= 0:
                end = start + last
            elif limit > 1:
                end = start + (len(arguments) - start) // limit + last
            else:
                end = len(arguments) + last
            yield from arguments[start : min(end, len(arguments) - 1) + 1 : step]
            return
        _, count_at, first, step = self.find
        if start + count_at >= len(arguments):
            return
        count = whole_number(arguments[start + count_at])
        begin = start + first
        if count is None or count < 0 or count > MAX_KEYS or begin + (count - 1) * step >= len(arguments) + step - 1:
            raise KeysUnclear("the number of keys does not fit the arguments")
        yield from arguments[begin : begin + count * step : step]


@dataclass(frozen=True)
class CommandSpec:
    """What the server tells of one command, or subcommand."""

    #: Lower case; of a subcommand with its container: "xgroup|create".
    name: str
    flags: FrozenSet[str] = frozenset()
    #: ACL categories, without their "@".
    categories: FrozenSet[str] = frozenset()
    keys: Tuple[KeySpec, ...] = ()
    subcommands: Mapping[bytes, CommandSpec] = field(default_factory=dict)


#: By lower-case name.
CommandTable = Mapping[bytes, CommandSpec]


def whole_number(text: bytes) -> Optional[int]:
    """As Redis reads one, and so not as Python's ``int`` does, which takes "+1", " 1" and "1_0"."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 18 or (digits[:1] == b"0" and text != b"0"):
        return None
    return int(text)


def table_from_reply(reply: Sequence[Any]) -> CommandTable:
    """From what ``COMMAND`` answers (RESP2, not decoded)."""
    found = {spec.name.encode(): spec for spec in map(_spec_from_reply, reply)}
    return {name: _completed(spec) for name, spec in found.items()}


@functools.lru_cache(maxsize=1)
def committed_table() -> CommandTable:
    """Of the server that ``redis_commands.json`` was written from."""
    data = pkgutil.get_data("moorage_proto", "redis_commands.json")
    assert data is not None, "the file is part of the package"
    return {name.encode(): _spec_from_json(name, found) for name, found in json.loads(data).items()}


def table_to_json(table: CommandTable) -> str:
    """What ``redis_commands.json`` holds."""
    found = {name.decode(): _spec_to_json(spec) for name, spec in sorted(table.items())}
    lines = (f'"{name}": {json.dumps(spec, sort_keys=True)}' for name, spec in found.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _spec_from_reply(entry: Sequence[Any]) -> CommandSpec:
    flags = _words(entry[2])
    old = (entry[3], entry[4], entry[5])
    keys = tuple(map(_key_from_reply, entry[8])) if len(entry) > 8 else _old_keys(old, flags)
    subcommands = [_spec_from_reply(each) for each in entry[9]] if len(entry) > 9 else []
    return CommandSpec(
        entry[0].decode().lower(),
        flags,
        frozenset(word.lstrip("@") for word in _words(entry[6])) if len(entry) > 6 else frozenset(),
        keys,
        {each.name.rpartition("|")[2].encode(): each for each in subcommands},
    )


def _old_keys(old: Tuple[int, int, int], flags: FrozenSet[str]) -> Tuple[KeySpec, ...]:
    """What the three numbers of older servers tell. Empty, too, for what only they could find."""
    first, last, step = old
    if "movablekeys" in flags:
        return (KeySpec(frozenset({"incomplete"}), None, None),)
    if first <= 0:
        return ()
    used = {"RO", "access"} if "readonly" in flags else {"RW", "access", "update"}
    end = last if last < 0 else last - first
    return (KeySpec(frozenset(used), ("index", first), ("range", end, max(step, 1), 0)),)


def _completed(spec: CommandSpec) -> CommandSpec:
    """The committed table's entry, where an older server does not tell how to find this command's keys."""
    known = committed_table().get(spec.name.encode())
    if known is None:
        return spec
    old_container = bool(known.subcommands) and not spec.subcommands
    old_movable = "movablekeys" in spec.flags and any(key.begin is None for key in spec.keys) and len(spec.keys) == 1
    return known if old_container or old_movable else spec


def _key_from_reply(entry: Sequence[Any]) -> KeySpec:
    told = _pairs(entry)
    begin, find = _pairs(told["begin_search"]), _pairs(told["find_keys"])
    return KeySpec(_words(told["flags"]), _begin(begin), _find(find))


def _begin(told: Mapping[str, Any]) -> Optional[Tuple[Any, ...]]:
    kind, spec = told["type"].decode(), _pairs(told["spec"])
    if kind == "index":
        return ("index", spec["index"])
    if kind == "keyword":
        return ("keyword", spec["keyword"].decode(), spec["startfrom"])
    return None


def _find(told: Mapping[str, Any]) -> Optional[Tuple[Any, ...]]:
    kind, spec = told["type"].decode(), _pairs(told["spec"])
    if kind == "range":
        return ("range", spec["lastkey"], spec["keystep"], spec["limit"])
    if kind == "keynum":
        return ("keynum", spec["keynumidx"], spec["firstkey"], spec["keystep"])
    return None


def _pairs(flat: Sequence[Any]) -> Dict[str, Any]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2])}


def _words(values: Sequence[bytes]) -> FrozenSet[str]:
    return frozenset(value.decode() for value in values)


def _spec_to_json(spec: CommandSpec) -> Dict[str, Any]:
    told: Dict[str, Any] = {"flags": sorted(spec.flags), "categories": sorted(spec.categories)}
    if spec.keys:
        told["keys"] = [{"flags": sorted(key.flags), "begin": key.begin, "find": key.find} for key in spec.keys]
    if spec.subcommands:
        told["subcommands"] = {name.decode(): _spec_to_json(each) for name, each in sorted(spec.subcommands.items())}
    return told


def _spec_from_json(name: str, told: Mapping[str, Any]) -> CommandSpec:
    keys: List[KeySpec] = []
    for key in told.get("keys", ()):
        begin, find = (None if key[part] is None else tuple(key[part]) for part in ("begin", "find"))
        keys.append(KeySpec(frozenset(key["flags"]), begin, find))
    subcommands = {
        short.encode(): _spec_from_json(f"{name}|{short}", each) for short, each in told.get("subcommands", {}).items()
    }
    return CommandSpec(name, frozenset(told["flags"]), frozenset(told["categories"]), tuple(keys), subcommands)
