"""Learning which capabilities a plugin uses: everything is allowed and noted; at the end stands the smallest manifest.

For development and tests alone: a host learns only under ``moorage dev --learn``, the testing kit under ``pytest
--moorage-learn``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Dict, FrozenSet, Iterable, List, Optional, Sequence, Set, Tuple

from moorage_proto.capability import (
    BACKEND_SERVICES,
    EVENTS_REPLY,
    EXTENSIONS_IMPLEMENT,
    UNCALLED_VERBS,
    Capability,
    CapabilityInvalid,
    Decision,
    Grants,
    parse,
)

#: Different needs that are remembered; of more, only that there were more is known.
MAX_LEARNT = 20_000

#: So many resources that begin alike, up to a separator, become one entry with ``**``, and a comment that says so.
MANY = 12

#: What no use shows, or not everywhere where one learns: entries with these verbs are kept as they are.
UNSEEN_VERBS = UNCALLED_VERBS - {EVENTS_REPLY, EXTENSIONS_IMPLEMENT}

#: What ``because`` says where the manifest has no entry yet: for the author to replace.
SAY_WHY = "..."


@dataclass(frozen=True)
class OpenGrants(Grants):
    """Allows whatever is not denied."""

    def _decide(self, needed: Capability) -> Decision:
        decision = super()._decide(needed)
        if decision.allowed or decision.rule is not None:
            return decision
        return Decision(True, needed, Capability(needed.verb, "**"))

    def covering(self, needed: Capability) -> Tuple[Capability, ...]:
        return (needed,) if self.decide(needed).allowed else ()

    def touch(self, verb: str, backend: str) -> bool:  # noqa: ARG002 - the base's signature
        return True


def open_grants(grants: Grants, verbs: Iterable[str]) -> OpenGrants:
    """What is denied stays denied. ``verbs``: those that there are, so that what is optional is injected."""
    denied = {rule.verb for rule in grants.deny}
    everything = tuple(_everything(verb) for verb in sorted(set(verbs) - denied))
    return OpenGrants((*grants.allow, *everything), grants.deny, grants.epoch)


def _everything(verb: str) -> Capability:
    return Capability(verb, "**/**" if verb.partition(".")[0] in BACKEND_SERVICES else "**")


class Learnt:
    """What was needed so far. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._needs: Set[Capability] = set()
        #: Whether there was more than it remembers.
        self.overflowed = False

    def note(self, need: Capability) -> None:
        if need in self._needs:
            return
        with self._lock:
            if len(self._needs) < MAX_LEARNT:
                self._needs.add(need)
            else:
                self.overflowed = True

    @property
    def needs(self) -> FrozenSet[Capability]:
        with self._lock:
            return frozenset(self._needs)


@dataclass(frozen=True)
class Request:
    """An entry that the manifest has."""

    capability: Capability
    because: str
    required: bool


@dataclass(frozen=True)
class Entry:
    """One that it should have."""

    right: Capability
    because: str
    required: bool
    #: For people, where something has to be said; goes into a comment.
    note: str = ""


@dataclass(frozen=True)
class Lesson:
    """The smallest manifest for what was used."""

    entries: Tuple[Entry, ...]
    #: Needs that no entry can name, for want of a spelling.
    unnameable: Tuple[Capability, ...] = ()
    #: What the manifest asks for and nothing used.
    unused: Tuple[Request, ...] = ()

    @property
    def lines(self) -> List[str]:
        """As TOML, to be pasted under ``[tool.moorage]``."""
        found: List[str] = []
        for key, required in (("required", True), ("optional", False)):
            entries = [entry for entry in self.entries if entry.required is required]
            if entries:
                found += [f"{key} = [", *(_toml(entry) for entry in entries), "]"]
        found += [f"# no entry can name what was used as {_comment(str(need))}" for need in self.unnameable]
        found += [f"# asked for, and not used: {request.capability}" for request in self.unused]
        return found or ["# no capability was used"]


def lesson(needs: Iterable[Capability], requests: Sequence[Request] = ()) -> Lesson:
    """What was needed, as the fewest and narrowest entries; ``because`` is taken from those that the manifest has.

    Each is what was used and no more, but for three cases that are said in a note: rows that were only counted, because
    a right to no column cannot be written; names of which there are very many; and what the manifest asks for and no
    use shows, such as the size of a folder.
    """
    groups: Dict[Tuple[str, str, bool], Set[Tuple[str, ...]]] = {}
    for need in needs:
        groups.setdefault((need.verb, need.resource, need.wild), set()).add(need.columns)
    rights, unnameable = [], []
    for (verb, resource, wild), columns in sorted(groups.items()):
        entry = _entry(verb, resource, columns, wild, requests)
        if entry is None:
            unnameable.append(Capability(verb, resource))
        else:
            rights.append(entry)
    entries = _without_repetitions(_generalised(rights, requests))
    used = [entry.right for entry in entries]
    rest = [request for request in requests if not any(_meets(request.capability, right) for right in used)]
    kept = [_kept(request) for request in rest if request.capability.verb in UNSEEN_VERBS]
    unused = [request for request in rest if request.capability.verb not in UNSEEN_VERBS]
    return Lesson((*entries, *kept), tuple(unnameable), tuple(unused))


def _kept(request: Request) -> Entry:
    return Entry(request.capability, request.because, request.required, "kept: whether it is used cannot be seen here")


def _entry(
    verb: str, resource: str, columns: Set[Tuple[str, ...]], wild: bool, requests: Sequence[Request]
) -> Optional[Entry]:
    """None: it cannot be written."""
    named: Tuple[str, ...] = ()
    note = ""
    if () not in columns:
        named = tuple(sorted({name for each in columns for name in each if name}))
        if not named:
            note = "its rows were only counted: any one of its columns would do"
    try:
        right = parse(str(Capability(verb, resource, named)))
    except CapabilityInvalid:
        return None
    # A star in the name of a URL or an event is never one of its characters.
    is_literal = "*" in resource and not wild and right.service not in ("http", "events")
    if is_literal or not right.covers(Capability(verb, resource, named, wild)):
        return None
    return _described(right, note, requests)


def _described(right: Capability, note: str, requests: Sequence[Request]) -> Entry:
    request = next((each for each in requests if _meets(each.capability, right)), None)
    if request is None:
        return Entry(right, SAY_WHY, True, note)
    return Entry(right, request.because, request.required, note)


def _meets(request: Capability, right: Capability) -> bool:
    """Whether an entry of the manifest is about what was used."""
    return Capability(request.verb, request.resource).covers(_as_need(right))


def _as_need(right: Capability) -> Capability:
    return Capability(right.verb, right.resource, right.columns, _is_wild(right))


def _is_wild(right: Capability) -> bool:
    return "*" in right.resource and right.service != "http"


def _generalised(entries: List[Entry], requests: Sequence[Request]) -> List[Entry]:
    """Very many names that begin alike become one entry."""
    families: Dict[Tuple[str, str], List[Entry]] = {}
    for entry in entries:
        families.setdefault((entry.right.verb, _family(entry.right)), []).append(entry)
    found: List[Entry] = []
    for (verb, beginning), members in families.items():
        if not beginning or len(members) < MANY:
            found += members
            continue
        note = f"in place of {len(members)} names, such as {members[0].right}"
        found.append(_described(Capability(verb, f"{beginning}**"), note, requests))
    return sorted(found, key=lambda entry: str(entry.right))


def _family(right: Capability) -> str:
    """How a name begins, up to its last separator, backend and all; empty where there is nothing to go by."""
    if right.columns or right.service in ("http", "net") or "*" in right.resource:
        return ""
    backend, slash, name = "", "", right.resource
    if right.service in BACKEND_SERVICES:
        backend, slash, name = right.resource.partition("/")
    cut = max(name.rfind(separator) for separator in "/.:")
    return f"{backend}{slash}{name[: cut + 1]}" if cut >= 0 else ""


def _without_repetitions(entries: List[Entry]) -> List[Entry]:
    """A pattern that was used covers names that were used, too."""
    wide = [entry.right for entry in entries if _is_wild(entry.right)]
    return [
        entry
        for entry in entries
        if not any(right != entry.right and right.covers(_as_need(entry.right)) for right in wide)
    ]


def _toml(entry: Entry) -> str:
    line = f"  {{ allow = {_quoted(str(entry.right))}, because = {_quoted(entry.because)} }},"
    return f"{line}  # {_comment(entry.note)}" if entry.note else line


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = "".join(_escaped(character) for character in text)
    return f'"{escaped}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _comment(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
