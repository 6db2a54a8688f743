"""What a Redis command needs: from its arguments and the server's own table of commands to the rights. Pure.

Everything is refused that is not known to be harmless: a command without keys is offered only where it is named here,
one with keys only where the table tells where all of them stand. The host's service and the testing kit's fake both
decide by this, before anything is sent.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Callable, Dict, FrozenSet, Iterable, List, Mapping, Sequence, Tuple, Union

from moorage_proto import capability
from moorage_proto.capability import Capability
from moorage_proto.redis_names import MAX_NAME_BYTES, name_text, pattern_text
from moorage_proto.redis_table import Arguments, CommandSpec, CommandTable, KeySpec, KeysUnclear, whole_number

READ, WRITE = "redis.read", "redis.write"
PUBLISH, SUBSCRIBE, SCRIPT = "redis.publish", "redis.subscribe", "redis.script"

#: What is answered in the server's place.
Answer = Union[bytes, int, None, List["Answer"]]

#: Stands for the connection's name, which is the caller's label.
OWN_NAME = b"\0own name"


class CommandRefused(Exception):
    """The command is not offered, whatever is granted. ``str()`` is the sentence for people."""


@dataclass(frozen=True)
class Examined:
    """A command that may go to the server once all its needs are allowed."""

    #: "get", "xgroup|create".
    name: str
    arguments: Tuple[bytes, ...]
    #: Empty: any right to the backend will do.
    needs: Tuple[Capability, ...] = ()
    #: Whether it is answered here, and with what.
    is_answered: bool = False
    answer: Answer = None
    #: Whether it may wait for others.
    blocks: bool = False
    runs_script: bool = False


@dataclass(frozen=True)
class Session:
    """What the commands so far have left open on their connection."""

    in_multi: bool = False
    is_watching: bool = False

    @property
    def is_neutral(self) -> bool:
        return not (self.in_multi or self.is_watching)

    def after(self, name: str) -> Session:
        if name == "multi":
            return replace(self, in_multi=True)
        if name in ("exec", "discard"):
            return Session() if self.in_multi else self
        if name == "watch" and not self.in_multi:
            return replace(self, is_watching=True)
        if name == "unwatch" and not self.in_multi:
            return replace(self, is_watching=False)
        return self


def examine(table: CommandTable, arguments: Sequence[bytes], backend: str) -> Examined:
    """Raises CommandRefused for what is not offered, KeysUnclear for what the server could not run either."""
    arguments = tuple(arguments)
    if not arguments:
        raise KeysUnclear("the command is empty")
    name, short = _name(table, arguments)
    if name in _ANSWERED:
        return Examined(name, arguments, is_answered=True, answer=_ANSWERED[name])
    if name in _REFUSED:
        raise CommandRefused(_REFUSED[name])
    spec = _spec(table, short, arguments)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(Call(spec, arguments, backend))
    if name not in _SAFE_THOUGH_DANGEROUS and (_ADMINISTRATIVE & (spec.flags | spec.categories)):
        raise CommandRefused(f"{shown(name)} is for the operators of Redis servers, and no plugin may call it.")
    if _is_strange(spec):
        raise CommandRefused(f"{shown(name)} is of a module whose commands reach keys that they do not name.")
    if not spec.keys:
        raise CommandRefused(f"{shown(name)} names no keys, so there is nothing to grant it by; no plugin may call it.")
    return Call(spec, arguments, backend).examined()


def examine_subscription(arguments: Sequence[bytes], backend: str) -> Tuple[Capability, ...]:
    """Of the commands of a subscription. Raises CommandRefused."""
    name = arguments[0].lower().decode(errors="replace") if arguments else ""
    channels = arguments[1:]
    _check_names(channels)
    if name in ("subscribe", "ssubscribe"):
        return tuple(capability.need(SUBSCRIBE, name_text(channel), backend=backend) for channel in channels)
    if name == "psubscribe":
        return tuple(_wild(SUBSCRIBE, channel, backend) for channel in channels)
    if name in ("unsubscribe", "punsubscribe", "sunsubscribe", "ping"):
        return ()
    raise CommandRefused(f"{shown(name)} cannot be called on a subscription.")


def offered(table: CommandTable, *, scripts: bool) -> List[str]:
    """Names of the commands that may reach the server, as its ACL writes them. Sorted."""
    found = [spec.name for spec in _all(table) if _is_offered(spec) and (scripts or not _is_script(spec.name))]
    return sorted({*found, *(name for name in _CHANGES if name.encode() in table)})


def shown(name: str) -> str:
    """A command's name, in a sentence."""
    return repr(name.replace("|", " ").upper()[:64])


@dataclass(frozen=True)
class Call:
    """A command of the table with its arguments."""

    spec: CommandSpec
    arguments: Tuple[bytes, ...]
    backend: str

    def examined(self) -> Examined:
        return self.asking(self.key_needs(self.spec.keys))

    def asking(self, needs: Iterable[Capability], *, runs_script: bool = False) -> Examined:
        """Raises KeysUnclear without needs: the server finds the command wrong, or finds keys that were not seen."""
        needs = tuple(dict.fromkeys(needs))
        if not needs:
            raise KeysUnclear(f"{shown(self.spec.name)} names no key")
        return Examined(self.spec.name, self.arguments, needs, blocks=self._blocks(), runs_script=runs_script)

    def key_needs(self, specs: Iterable[KeySpec]) -> List[Capability]:
        needs = []
        for spec in specs:
            if not spec.is_complete:
                raise CommandRefused(
                    f"{shown(self.spec.name)} does not tell where its keys stand, so they cannot be checked; no plugin"
                    " may call it."
                )
            keys = list(spec.keys(self.arguments))
            needs += self.needs(_verbs(spec.flags), keys)
        return needs

    def needs(self, verbs: Iterable[str], names: Sequence[bytes]) -> List[Capability]:
        _check_names(names)
        texts = [name_text(name) for name in names]
        return [capability.need(verb, text, backend=self.backend) for text in texts for verb in verbs]

    def _blocks(self) -> bool:
        if "blocking" not in self.spec.flags:
            return False
        return not self.spec.name.startswith("xread") or any(word.lower() == b"block" for word in self.arguments)


def _name(table: CommandTable, arguments: Arguments) -> Tuple[str, bytes]:
    short = arguments[0].lower()
    name = short.decode(errors="backslashreplace")
    spec = table.get(short)
    if len(arguments) > 1 and (short in _CONTAINERS or (spec is not None and spec.subcommands)):
        return f"{name}|{arguments[1].lower().decode(errors='backslashreplace')}", short
    return name, short


def _spec(table: CommandTable, short: bytes, arguments: Arguments) -> CommandSpec:
    spec = table.get(short)
    if spec is not None and spec.subcommands and len(arguments) > 1:
        spec = spec.subcommands.get(arguments[1].lower())
    if spec is None:
        words = b" ".join(arguments[:2] if short in table else arguments[:1])
        raise CommandRefused(f"This Redis server has no command {shown(words.decode(errors='backslashreplace'))}.")
    return spec


def _verbs(flags: FrozenSet[str]) -> Tuple[str, ...]:
    """As the server's own ACL reads the flags of a key; where they say nothing, reading is asked for."""
    writes = bool(flags & {"insert", "update", "delete"}) or bool(flags & {"RW", "OW", "RM"})
    if "access" in flags:
        return (READ, WRITE) if writes else (READ,)
    return (WRITE,) if writes else (READ,)


def _check_names(names: Sequence[bytes]) -> None:
    for name in names:
        if len(name) > MAX_NAME_BYTES:
            raise CommandRefused(f"A key or channel may have {MAX_NAME_BYTES} bytes, and this one has {len(name)}.")


def _wild(verb: str, pattern: bytes, backend: str) -> Capability:
    _check_names((pattern,))
    text, wild = pattern_text(pattern)
    return capability.need(verb, text, backend=backend, wild=wild)


def _all(table: CommandTable) -> Iterable[CommandSpec]:
    for spec in table.values():
        yield from spec.subcommands.values() or (spec,)


def _is_offered(spec: CommandSpec) -> bool:
    if spec.name in _ANSWERED or spec.name in _REFUSED:
        return False
    if spec.name in _SPECIAL:
        return True
    if spec.name not in _SAFE_THOUGH_DANGEROUS and (_ADMINISTRATIVE & (spec.flags | spec.categories)):
        return False
    if _is_strange(spec):
        return False
    return bool(spec.keys) and all(key.is_complete for key in spec.keys)


def _is_strange(spec: CommandSpec) -> bool:
    """Of a module that is not known to keep to the keys that stand among the arguments, as searches do not."""
    return "module" in spec.flags and not spec.name.startswith(_KNOWN_MODULES)


def _is_script(name: str) -> bool:
    return name.startswith(("eval", "fcall", "script|"))


# The commands that are a case of their own


def _neutral(call: Call) -> Examined:
    """Shows nothing and changes nothing of what is stored."""
    return Examined(call.spec.name, call.arguments, blocks=call.spec.name in ("wait", "waitaof"))


def _set(call: Call) -> Examined:
    """SET and BITFIELD read only with some of their options; their entry in the table asks for the most."""
    words = {word.lower() for word in call.arguments[2 if call.spec.name == "bitfield" else 3 :]}
    if call.spec.name == "set":
        verbs = (READ, WRITE) if b"get" in words else (WRITE,)
    else:
        verbs = (READ, WRITE) if words & {b"set", b"incrby"} else (READ,)
    return call.asking(call.needs(verbs, call.arguments[1:2]))


def _random(call: Call) -> Examined:
    """A negative count asks for so many, the same again and again: few bytes would have the server make gigabytes."""
    for word in call.arguments[2:3]:
        count = whole_number(word)
        if word[:1] == b"-" and (count is None or count < -MAX_REPEATED):
            raise CommandRefused(
                f"{shown(call.spec.name)} with repetitions answers {MAX_REPEATED:,} at most at a time."
            )
    return call.examined()


def _sort(call: Call) -> Examined:
    """STORE may stand anywhere, and of several the server takes the last. BY and GET read keys whose names come from
    what is sorted, so they need the right to all, as the server's own ACL asks.
    """
    words = call.arguments
    needs = call.needs((READ,), words[1:2])
    for position in range(2, len(words) - 1):
        word, value = words[position].lower(), words[position + 1]
        if word == b"store":
            needs += call.needs((WRITE,), (value,))
        elif word in (b"by", b"get") and b"*" in value:
            needs.append(capability.need(READ, "**", backend=call.backend, wild=True))
    return call.asking(needs)


def _copy(call: Call) -> Examined:
    if any(word.lower() == b"db" for word in call.arguments[3:]):
        raise CommandRefused("COPY with DB reaches another database, and rights are for one; no plugin may call it so.")
    return call.examined()


def _scan(call: Call) -> Examined:
    """By its MATCH; of several the server takes the last, and all have to be covered."""
    words = call.arguments[2:]
    if len(words) % 2:
        raise KeysUnclear("SCAN takes a cursor and pairs of an option and its value")
    options = [(option.lower(), value) for option, value in zip(words[::2], words[1::2])]
    if any(name == b"count" and (whole_number(value) or 0) > MAX_SCANNED for name, value in options):
        raise CommandRefused(f"SCAN looks at {MAX_SCANNED:,} keys at most at a time: more holds up all others.")
    patterns = [value for name, value in options if name == b"match"]
    return call.asking(_wild(READ, pattern, call.backend) for pattern in patterns or (b"*",))


def _publish(call: Call) -> Examined:
    return call.asking(call.needs((PUBLISH,), call.arguments[1:2]))


def _channels(call: Call) -> Examined:
    pattern = call.arguments[2] if len(call.arguments) > 2 else b"*"
    return call.asking((_wild(SUBSCRIBE, pattern, call.backend),))


def _subscribers(call: Call) -> Examined:
    return Examined(call.spec.name, call.arguments, tuple(call.needs((SUBSCRIBE,), call.arguments[2:])))


def _run(call: Call) -> Examined:
    """A script by its SHA1, a function by its name; and the keys that it is given."""
    name = call.arguments[1] if len(call.arguments) > 1 else b""
    if call.spec.name in ("eval", "eval_ro"):
        name = script_digest(name)
    elif call.spec.name in ("evalsha", "evalsha_ro"):
        name = name.lower()
    keys = call.key_needs(call.spec.keys)
    return call.asking((*call.needs((SCRIPT,), (name,)), *keys), runs_script=True)


def _load(call: Call) -> Examined:
    scripts = call.arguments[2:]
    names = [script_digest(script) for script in scripts] if call.spec.name == "script|load" else scripts
    return call.asking(call.needs((SCRIPT,), [name.lower() for name in names]), runs_script=True)


def script_digest(script: bytes) -> bytes:
    return hashlib.sha1(script).hexdigest().encode()  # noqa: S324 - how Redis names scripts


#: COUNT of SCAN.
MAX_SCANNED = 10_000

#: Of SRANDMEMBER and its kind, in one answer.
MAX_REPEATED = 10_000

#: For whoever runs the server. DANGEROUS commands that are told apart by their keys are named below.
_ADMINISTRATIVE = frozenset({"admin", "dangerous"})
_SAFE_THOUGH_DANGEROUS = frozenset({"sort", "sort_ro"})

#: Prefixes of the commands of modules that use their keys and no others: JSON, filters and sketches, time series.
_KNOWN_MODULES = ("json.", "bf.", "cf.", "cms.", "topk.", "tdigest.", "ts.")

#: Whose first argument is a part of the name, also where a server's table does not say so.
_CONTAINERS = frozenset({b"client", b"script", b"function", b"config", b"pubsub", b"command", b"debug", b"acl"})

#: What redis-py says when it connects, which the host has done already.
_ANSWERED: Dict[str, Answer] = {
    "auth": b"OK",
    "client|getname": OWN_NAME,
    "client|no-evict": b"OK",
    "client|no-touch": b"OK",
    "client|setinfo": b"OK",
    "client|setname": b"OK",
    "hello": [b"server", b"redis", b"proto", 2, b"mode", b"standalone", b"role", b"master", b"modules", []],
    "quit": b"OK",
    "reset": b"RESET",
}

_OTHER_DATABASE = "reaches another database of the server, and rights are for one; the operator can add a backend."
_RAW = "takes values in Redis' internal form, which the server does not check well enough; no plugin may call it."
_ON_SUBSCRIPTION = "is for subscriptions: use pubsub()."

#: Names that a table may have with keys and without a category that says how it is; the others for their sentence.
_REFUSED: Mapping[str, str] = {
    **{name: f"{shown(name)} {_OTHER_DATABASE}" for name in ("select", "swapdb", "move")},
    **{name: f"{shown(name)} {_RAW}" for name in ("restore", "restore-asking", "pfdebug", "pfselftest")},
    **{
        name: f"{shown(name)} {_ON_SUBSCRIPTION}"
        for name in ("subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe")
    },
    "keys": "'KEYS' looks at every key of the server and holds up all others meanwhile; use SCAN with MATCH.",
    "lcs": "'LCS' takes time and memory by the product of two lengths, and holds up all others; compare in the plugin.",
    "randomkey": "'RANDOMKEY' may answer a key that is not the plugin's; use SCAN with MATCH.",
    "migrate": "'MIGRATE' sends keys to another server; no plugin may call it.",
    "monitor": "'MONITOR' shows what all others do on the server; no plugin may call it.",
}

_Special = Callable[[Call], Examined]

_SPECIAL: Mapping[str, _Special] = {
    **dict.fromkeys(("ping", "echo", "time", "wait", "waitaof", "multi", "exec", "discard", "unwatch"), _neutral),
    **dict.fromkeys(("command|count", "command|docs", "command|info", "command|list"), _neutral),
    "pubsub|numpat": _neutral,
    **dict.fromkeys(("set", "bitfield"), _set),
    **dict.fromkeys(("sort", "sort_ro"), _sort),
    **dict.fromkeys(("srandmember", "hrandfield", "zrandmember"), _random),
    "copy": _copy,
    "scan": _scan,
    **dict.fromkeys(("publish", "spublish"), _publish),
    **dict.fromkeys(("pubsub|channels", "pubsub|shardchannels"), _channels),
    **dict.fromkeys(("pubsub|numsub", "pubsub|shardnumsub"), _subscribers),
    **dict.fromkeys(("eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"), _run),
    **dict.fromkeys(("script|load", "script|exists"), _load),
}

#: What a subscription is changed by, which goes to the server as well.
_CHANGES = ("subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe")
