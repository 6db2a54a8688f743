"""Capabilities: the text of a right, and whether a set of rights covers a need. Pure; both sides use it.

The grammar is ``verb:resource``. For services with named backends the resource is ``backend/name``; the backend
``main`` may be left out. ``*`` stands for any characters within one segment, ``**`` for any characters; segments end
at ``/``, ``.`` and ``:``.

Rights to HTTP requests name URLs, whose parts are compared one by one (``url``): no wildcard of a host reaches into the
path.

A few rights widen the kernel's sandbox instead of allowing calls. They name no resource (``sandbox.subprocess``), or a
path of the host's machine, literally (``files.read:/srv/models/**``).
"""

from __future__ import annotations

import functools
import posixpath
import re
from dataclasses import dataclass, field
from typing import Iterable, Optional, Tuple

from moorage_proto import url
from moorage_proto.glob import ANY, SOME, compiled

MAIN_BACKEND = "main"

#: Services whose resources live in named backends.
BACKEND_SERVICES = frozenset({"sql", "redis", "kafka", "servicebus"})

#: The service whose resources are URLs.
HTTP = "http"

#: The service whose names have no case, and parts after a slash: ``orders/subscriptions/billing``.
SERVICEBUS = "servicebus"
#: What stands after the name of a queue or topic there; so it is no backend's.
ENTITY_PARTS = frozenset({"subscriptions", "$deadletterqueue"})

#: Verbs that stand for themselves: they have no resource.
BARE_VERBS = frozenset({"sandbox.subprocess", "sandbox.proc"})
#: Verbs whose resource is a path of the host's machine: a file or a folder, and a device node.
FILES_READ = "files.read"
DEVICE = "sandbox.device"
#: What widens the sandbox when a worker starts; no call needs them.
SANDBOX_VERBS = BARE_VERBS | {FILES_READ, DEVICE}
#: Its resource is a host and a port. It opens a way out of the sandbox, through the host, which decides on each use.
NET_CONNECT = "net.connect"
#: Its resource is a host whose address may be a private one.
NET_PRIVATE = "net.private"
#: Its resource is a size.
STORAGE_USE = "storage.use"
#: Its resource is a topic; it is the host that asks a plugin what the plugin replies to.
EVENTS_REPLY = "events.reply"
#: Its resource is an extension point of the application; it is the host that calls what a plugin implements.
EXTENSIONS_IMPLEMENT = "extensions.implement"
#: What the triggers of a manifest need; it is the host that listens, and runs a plugin for what it hears.
KAFKA_CONSUME, REDIS_CONSUME, EXECUTIONS_FOLLOW = "kafka.consume", "redis.consume", "executions.follow"
TRIGGER_VERBS = frozenset({KAFKA_CONSUME, REDIS_CONSUME, EXECUTIONS_FOLLOW})
#: What no method of the contract asks for: it is decided when a worker starts, or on the way of something else.
UNCALLED_VERBS = (
    SANDBOX_VERBS | TRIGGER_VERBS | {NET_CONNECT, NET_PRIVATE, STORAGE_USE, EVENTS_REPLY, EXTENSIONS_IMPLEMENT}
)
#: At the end of a path: the folder, and all that is in it.
WHOLE_FOLDER = "/**"

#: Of the text of a right. People read it before they grant it, and rights are compared with each other.
MAX_CHARACTERS = 1_000

#: A single ``*`` stands for anything but these.
STOPS = "/.:"

#: The columns of a need that reads no column.
ROWS_ALONE = ("",)

_VERB = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z_]*")
_BACKEND = re.compile(r"[a-z0-9][a-z0-9_-]*|\*{1,2}")
_COLUMNS = re.compile(r"(?P<table>[^()]+)\((?P<columns>[^()]+)\)")


_SIZE = re.compile(r"(?P<number>[1-9][0-9]{0,14})(?P<unit>[KMGT]iB|B)", re.ASCII)
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class CapabilityInvalid(ValueError):
    """The text is not a capability; the sentence says what one looks like."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(
            f"{text!r} is not a capability: {problem}; write service.verb:resource, such as sql.read:users"
        )
        self.text = text


@dataclass(frozen=True)
class Capability:
    """One right. ``resource`` is complete: with its backend where the service has backends."""

    verb: str
    resource: str
    #: Empty: all columns. Only for ``sql.read`` and ``sql.write``. Of a need, ``ROWS_ALONE``: that rows exist, but the
    #: value of no column, as ``SELECT count(*)`` asks; a right to any column covers that.
    columns: Tuple[str, ...] = ()
    #: Of a need: its resource is a pattern with ``*`` and ``**``, as in a right. A right covers it that covers all that
    #: the pattern may stand for; a deny rule that concerns any of that beats it.
    wild: bool = False

    @property
    def service(self) -> str:
        return self.verb.partition(".")[0]

    def __str__(self) -> str:
        resource = self.resource
        if not resource:
            return self.verb
        if self.service in BACKEND_SERVICES:
            backend, _, name = resource.partition("/")
            # A name with a slash of its own would be read as another backend's.
            if backend == MAIN_BACKEND and ("/" not in name or _has_entity_parts(self.service, name)):
                resource = name
        columns = f"({','.join(self.columns)})" if self.columns and self.columns != ROWS_ALONE else ""
        return f"{self.verb}:{resource}{columns}"

    def covers(self, need: Capability) -> bool:
        """Whether this right includes the needed one. Globs count in this right only; the need is literal, unless it
        is ``wild``.
        """
        if self.service == HTTP:
            return self.verb == need.verb and url.covers(self.resource, need.resource)
        if self.verb == STORAGE_USE:
            return self.verb == need.verb and size_of(self) >= size_of(need)
        if need.wild:
            return self.verb == need.verb and not self.columns and _contains(self.resource, need.resource)
        if self.verb != need.verb or not _fits(self.resource, need.resource):
            return False
        if not self.columns:
            return True
        return need.columns == ROWS_ALONE or (bool(need.columns) and set(need.columns) <= set(self.columns))

    def overlaps(self, need: Capability) -> bool:
        """Whether this right covers any of what a wild need may stand for."""
        return self.verb == need.verb and _overlap(self.resource, need.resource)

    def touches(self, verb: str, backend: str) -> bool:
        """Whether this right has the verb and may concern some resource of the backend."""
        own, _, _ = self.resource.partition("/")
        return self.verb == verb and _fits(own, backend)


def parse(text: str) -> Capability:
    """Reads a capability as manifests and people write it.

    Raises CapabilityInvalid.
    """
    if len(text) > MAX_CHARACTERS:
        raise CapabilityInvalid(f"{text[:80]}...", f"it has more than {MAX_CHARACTERS:,} characters")
    verb, colon, resource = text.partition(":")
    if verb in BARE_VERBS:
        if colon:
            raise CapabilityInvalid(text, f"{verb} has no resource")
        return Capability(verb, "")
    if not colon or not resource:
        raise CapabilityInvalid(text, "it names no resource after a colon")
    if not _VERB.fullmatch(verb):
        raise CapabilityInvalid(text, f"{verb!r} is not of the form service.verb")
    if " " in text or not text.isprintable():
        # Also what is there and not seen, or turns the direction of what is: people read it before they grant it.
        raise CapabilityInvalid(text, "it holds a space, or a character that cannot be seen")
    if verb in SANDBOX_VERBS:
        _check_path(text, verb, resource)
    if verb == STORAGE_USE and not _SIZE.fullmatch(resource):
        raise CapabilityInvalid(text, "its resource is a size in B, KiB, MiB, GiB or TiB, such as 64MiB")
    columns: Tuple[str, ...] = ()
    service = verb.partition(".")[0]
    if service == "sql":
        resource, columns = _split_columns(text, resource)
    return Capability(verb, _complete(text, service, resource), columns)


def need(verb: str, resource: str, *, backend: str = "", columns: Iterable[str] = (), wild: bool = False) -> Capability:
    """The right that a call asks for, from values that are taken literally; with ``wild`` the resource is a pattern."""
    service = verb.partition(".")[0]
    if service in BACKEND_SERVICES:
        resource = f"{backend or MAIN_BACKEND}/{resource.lower() if service == SERVICEBUS else resource}"
    return Capability(verb, resource, tuple(columns), wild)


def size_of(storage: Capability) -> int:
    """Bytes that a right to storage is for."""
    match = _SIZE.fullmatch(storage.resource)
    return int(match["number"]) * _UNITS[match["unit"]] if match is not None else 0


def _check_path(text: str, verb: str, resource: str) -> None:
    """One spelling for each path, so that people read what the kernel will be told."""
    path = resource
    if verb == FILES_READ and resource.endswith(WHOLE_FOLDER):
        path = resource[: -len(WHOLE_FOLDER)] or "/"
    if "*" in path:
        raise CapabilityInvalid(text, f"a path is taken literally; only {WHOLE_FOLDER} at the end of a folder is not")
    if not path.startswith("/") or path != posixpath.normpath(path) or path.startswith("//"):
        raise CapabilityInvalid(text, "its resource is a path from / on, without '.', '..' and doubled slashes")
    if path == "/":
        raise CapabilityInvalid(text, "the whole of a machine cannot be granted")
    if verb == DEVICE and not path.startswith("/dev/"):
        raise CapabilityInvalid(text, "a device is a path below /dev")


def _split_columns(text: str, resource: str) -> Tuple[str, Tuple[str, ...]]:
    match = _COLUMNS.fullmatch(resource)
    if match is None:
        if "(" in resource or ")" in resource:
            raise CapabilityInvalid(text, "columns are written table(first,second)")
        return resource, ()
    columns = tuple(name.strip() for name in match["columns"].split(","))
    if not all(columns):
        raise CapabilityInvalid(text, "a column name is empty")
    return match["table"], columns


def _complete(text: str, service: str, resource: str) -> str:
    if service == HTTP:
        return _complete_url(text, resource)
    if service not in BACKEND_SERVICES:
        return resource
    if resource == "**":
        return f"{MAIN_BACKEND}/**"
    if service == SERVICEBUS:
        resource = resource.lower()
    backend, slash, name = resource.partition("/")
    if not slash or _has_entity_parts(service, resource):
        return f"{MAIN_BACKEND}/{resource}"
    if not _BACKEND.fullmatch(backend) or not name:
        raise CapabilityInvalid(text, f"{backend!r} is not the name of a backend")
    return resource


def _has_entity_parts(service: str, name: str) -> bool:
    return service == SERVICEBUS and not ENTITY_PARTS.isdisjoint(name.split("/", 2)[1:2])


def _complete_url(text: str, resource: str) -> str:
    try:
        return str(url.parse_pattern(resource))
    except url.UrlInvalid as error:
        raise CapabilityInvalid(text, f"of its URL, {error.problem}") from None


def _fits(pattern: str, text: str) -> bool:
    """A regular expression is quicker, but with several wildcards its time grows with a power of the text."""
    expression = _expression(pattern)
    return compiled(pattern, STOPS).matches(text) if expression is None else expression.fullmatch(text) is not None


@functools.lru_cache(maxsize=4096)
def _expression(pattern: str) -> Optional[re.Pattern[str]]:
    """None for a pattern with more than one wildcard."""
    if pattern.replace("**", "*").count("*") > 1:
        return None
    expression = {"**": r"(?s:.*)", "*": r"[^/.:]*"}
    return re.compile("".join(expression.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*)", pattern)))


#: Longer patterns are covered by nothing and denied by everything: comparing two patterns takes time.
MAX_WILD_CHARACTERS = 512


def _contains(glob: str, pattern: str) -> bool:
    """Whether the glob matches everything that the pattern matches. May say no where it does, never yes where not."""
    if len(pattern) > MAX_WILD_CHARACTERS:
        return False
    return compiled(glob, STOPS).includes(pattern)


def _overlap(glob: str, pattern: str) -> bool:
    """Whether some text fits both."""
    if len(pattern) > MAX_WILD_CHARACTERS:
        return True
    left, right = (text.replace("**", ANY).replace("*", SOME) for text in (glob, pattern))
    seen, ahead = set(), [(0, 0)]
    while ahead:
        state = ahead.pop()
        if state in seen:
            continue
        seen.add(state)
        i, j = state
        if i == len(left) and j == len(right):
            return True
        one, other = left[i : i + 1], right[j : j + 1]
        if _takes(one, "") or (one and _takes(other, one)):
            ahead.append((i + 1, j))
        if _takes(other, "") or (other and _takes(one, other)):
            ahead.append((i, j + 1))
        if one and one == other:
            ahead.append((i + 1, j + 1))
    return False


def _takes(wildcard: str, text: str) -> bool:
    """Whether it is a wildcard that may stand for this character, or for none."""
    return wildcard == ANY or (wildcard == SOME and text not in ("/", ".", ":"))


@dataclass(frozen=True)
class Decision:
    """Whether a need is covered, and by what."""

    allowed: bool
    need: Capability
    #: The right that allowed it, or the deny rule that beat all of them; None: nothing covers it.
    rule: Optional[Capability] = None
    #: It is allowed only while the audit can be written. Of a refusal: it was refused for that.
    fail_closed: bool = False


#: Decisions remembered at a time.
MAX_REMEMBERED = 4096

#: Decisions about longer resources are made anew each time; otherwise they would fill the memory.
MAX_REMEMBERED_CHARACTERS = 512


@dataclass(frozen=True)
class Grants:
    """What an installation may do. Deny is the default, and an explicit deny beats an allow."""

    allow: Tuple[Capability, ...] = ()
    deny: Tuple[Capability, ...] = ()
    #: Grows by one with every change of the installation's grants.
    epoch: int = 0
    #: What they concern is allowed only while the audit can be written.
    fail_closed: Tuple[Capability, ...] = ()
    _memo: dict[Capability, Decision] = field(default_factory=dict, compare=False, repr=False)
    _covering: dict[Capability, Tuple[Capability, ...]] = field(default_factory=dict, compare=False, repr=False)

    def decide(self, needed: Capability) -> Decision:
        decision = self._memo.get(needed)
        if decision is None:
            if len(needed.resource) > MAX_REMEMBERED_CHARACTERS:
                return self._decide(needed)
            if len(self._memo) >= MAX_REMEMBERED:
                self._memo.clear()
            decision = self._memo[needed] = self._decide(needed)
        return decision

    def _decide(self, needed: Capability) -> Decision:
        for rule in self.deny:
            if _concerns(rule, needed):
                return Decision(False, needed, rule)
        for rule in self.allow:
            if rule.covers(needed):
                return Decision(True, needed, rule, any(_concerns(other, needed) for other in self.fail_closed))
        return Decision(False, needed)

    def covering(self, needed: Capability) -> Tuple[Capability, ...]:
        """The rights that allow it; none where it is not allowed."""
        found = self._covering.get(needed)
        if found is None:
            allowed = self.decide(needed).allowed
            found = tuple(rule for rule in self.allow if rule.covers(needed)) if allowed else ()
            if len(needed.resource) <= MAX_REMEMBERED_CHARACTERS:
                if len(self._covering) >= MAX_REMEMBERED:
                    self._covering.clear()
                self._covering[needed] = found
        return found

    def touch(self, verb: str, backend: str) -> bool:
        """Whether any right with this verb concerns the backend."""
        return any(rule.touches(verb, backend) for rule in self.allow)


def _concerns(rule: Capability, needed: Capability) -> bool:
    """Whether the rule covers a part of the need: one for some columns concerns a need for all of them, or for a set
    that holds one of them.
    """
    if needed.wild:
        return rule.overlaps(needed)
    if not rule.columns:
        return rule.covers(needed)
    if not Capability(rule.verb, rule.resource).covers(Capability(needed.verb, needed.resource)):
        return False
    return not needed.columns or bool(set(rule.columns) & set(needed.columns))
