"""Rights that are dangerous, alone or together, in plain sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from moorage_proto.capability import BACKEND_SERVICES, DEVICE, FILES_READ, WHOLE_FOLDER, Capability

#: Rights to read what others have put there.
_READS = frozenset({"sql.read", "redis.read", "secrets.read", "events.subscribe", "redis.subscribe"})

#: What a broad right of each verb means for others.
_BROAD = {
    "sql.write": "It can change and delete whatever is in that database.",
    "sql.define": "It can alter and drop every table of that database.",
    "redis.write": "It can overwrite and delete every key, those of others too.",
    "secrets.write": "It can replace every secret of its own, those that people have set too.",
    "net.private": "It can reach services of this machine and of its networks that take nobody outside for a visitor.",
    "net.connect": "It can reach every host that this machine reaches, and nothing sees what it sends there.",
}

_SCRIPT = "What a script does on the Redis server is decided before it runs, by the keys that the plugin names."


def dangers(capabilities: Iterable[Capability]) -> tuple[str, ...]:
    """What has to be said aloud when one installation has all of these; each begins with the rights in question."""
    rights = tuple(dict.fromkeys(capabilities))
    return (*_alone(rights), *_together(rights))


def is_broad(capability: Capability) -> bool:
    """Whether it names everything of its kind; of what leaves the host, every place."""
    if capability.columns:
        return False
    resource = capability.resource
    if capability.verb == FILES_READ:
        return resource.endswith(WHOLE_FOLDER)
    if _leaves(capability):
        # http://HOST:PORT/path, or HOST:PORT
        place = resource.partition("://")[2] or resource
        host = place.partition("/")[0].partition(":")[0]
        # Nearly everybody has a host below com. 1** is every address that begins so.
        return ("**" in host or host.startswith("*")) and "." not in host.rpartition("*")[2].lstrip(".")
    name = resource.partition("/")[2] if capability.service in BACKEND_SERVICES else resource
    # One letter beside the wildcards is in nearly every name.
    return "*" in name and sum(map(str.isalnum, name)) < 2


def _leaves(capability: Capability) -> bool:
    """Whether data leaves the host through it, to where its operator does not look."""
    return capability.service == "http" or capability.verb == "net.connect"


def _alone(rights: tuple[Capability, ...]) -> Iterator[str]:
    for right in rights:
        if right.verb == DEVICE:
            yield f"{right}: A mistake in that driver is a way out of the sandbox, and into the kernel."
        elif right.verb == FILES_READ and is_broad(right):
            yield f"{right}: It can pass on every file in there by every other way that it was granted."
        elif right.verb == "redis.script":
            yield f"{right}: {_SCRIPT}"
        elif right.verb in _BROAD and is_broad(right):
            yield f"{right}: {_BROAD[right.verb]}"


def _together(rights: tuple[Capability, ...]) -> Iterator[str]:
    ways = [right for right in rights if _leaves(right)]
    secrets = [right for right in rights if right.verb == "secrets.read"]
    if secrets and ways:
        yield f"{_listed(secrets)} with {_listed(ways)}: It can send these secrets there."
    everywhere = [right for right in ways if is_broad(right)]
    used = [right for right in rights if right.verb == "secrets.use"]
    anybody = [right for right in everywhere if right.service == "http"]
    if used and anybody:
        yield f"{_listed(used)} with {_listed(anybody)}: It can have these secrets sent to anybody."
    everything = [right for right in rights if right.verb in _READS | {FILES_READ} and is_broad(right)]
    if everything and everywhere:
        yield f"{_listed(everything)} with {_listed(everywhere)}: It can send all that it reads to anybody."


def _listed(rights: Iterable[Capability]) -> str:
    return ", ".join(map(str, rights))
