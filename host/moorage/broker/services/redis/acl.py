"""The second fence: what a user of the server itself is let, from an installation's grants. Pure.

Redis checks one pattern at a time: a command that reads and writes a key needs one pattern with both. Where grants to
read and to write overlap without one holding the other, the written one gets both, and is then wider than the grants;
so is a ``*``, which ends with its segment in a grant and does not in Redis. Deny rules cannot be said at all. The
broker has checked the exact grants before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from moorage_proto.capability import Capability, Grants
from moorage_proto.redis_access import PUBLISH, READ, SCRIPT, SUBSCRIBE, WRITE, offered
from moorage_proto.redis_names import glob_pattern
from moorage_proto.redis_table import CommandTable

#: What the host itself says on an installation's connections.
_HOUSEKEEPING = ("+client|setname", "+ping")


def user_rules(
    grants: Grants, backend: str, table: CommandTable, *, tells_reading: bool, patterns: Collection[bytes] = ()
) -> tuple[bytes, ...]:
    """Arguments of ACL SETUSER, but for the password. ``patterns`` are those that are subscribed to, which the server
    compares letter by letter.

    ``tells_reading`` False: a server before 7.0, which knows keys and not what is done to them.
    """
    scripts = bool(_globs(grants, backend, SCRIPT))
    commands = [f"+{name}" for name in offered(table, scripts=scripts)]
    reads, writes = _globs(grants, backend, READ), _globs(grants, backend, WRITE)
    keys = list(_keys(reads, writes)) if tells_reading else [f"~{_pattern(glob)}" for glob in _unique(reads + writes)]
    channels = [f"&{_pattern(glob)}" for glob in _unique(_globs(grants, backend, PUBLISH, SUBSCRIBE))]
    rules = ["reset", "on", "-@all", "resetkeys", "resetchannels", *commands, *_HOUSEKEEPING, *keys]
    if everything := {"~*", "%RW~*"} & set(rules):
        # Nothing may follow it.
        rules = [*(rule for rule in rules if rule[:1] not in ("~", "%")), *everything]
    if "&*" in channels:
        # The same.
        return (*(rule.encode() for rule in rules), b"&*")
    return (*(rule.encode() for rule in (*rules, *channels)), *(b"&" + pattern for pattern in patterns))


def _globs(grants: Grants, backend: str, *verbs: str) -> list[str]:
    """Of names, of those rights that concern the backend."""
    found: list[str] = []
    for right in grants.allow:
        if any(right.touches(verb, backend) for verb in verbs):
            own, _, name = right.resource.partition("/")
            # `**` for the backend spans slashes, so that what comes before the name may be a part of it.
            found += [name, f"**/{name}"] if own == "**" and name != "**" else [name]
    return found


def _keys(reads: list[str], writes: list[str]) -> Iterable[str]:
    for glob in _unique(writes):
        both = any(_holds(other, glob) or (_meet(other, glob) and not _holds(glob, other)) for other in reads)
        yield f"%{'RW' if both else 'W'}~{_pattern(glob)}"
    for glob in _unique(reads):
        if glob not in writes:
            yield f"%{'RW' if any(_holds(other, glob) for other in writes) else 'R'}~{_pattern(glob)}"


def _pattern(glob: str) -> str:
    return glob_pattern(glob)[0]


def _holds(glob: str, other: str) -> bool:
    return Capability(READ, glob).covers(Capability(READ, other, wild=True))


def _meet(glob: str, other: str) -> bool:
    return Capability(READ, glob).overlaps(Capability(READ, other, wild=True))


def _unique(globs: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(globs))
