"""The right that a plugin's own trigger needs, as each source asks for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from moorage.models.manifest import Manifest, RequestedCapability, Trigger
from moorage_proto.capability import EXECUTIONS_FOLLOW, KAFKA_CONSUME, REDIS_CONSUME, Capability, need
from moorage_proto.redis_names import pattern_text

_FNMATCH = re.compile(r"[*?]|\[.*?\]")


def right_of(trigger: Trigger) -> Capability | None:
    """What must be granted before its source is listened to, where the manifest says what that is. None: nothing."""
    options, source = trigger.options, trigger.source
    backend = str(options.get("backend", ""))
    if trigger.kind == "kafka":
        return need(KAFKA_CONSUME, source, backend=backend)
    if trigger.kind == "redis":
        if options.get("mode") == "stream":
            return need(REDIS_CONSUME, source, backend=backend, wild="*" in source)
        channels, wild = _channels(source)
        return need("redis.subscribe", channels, backend=backend, wild=wild)
    if trigger.kind == "servicebus":
        subscription = options.get("subscription")
        entity = f"{source}/subscriptions/{subscription}" if subscription else source
        return need("servicebus.receive", entity, backend=backend)
    if trigger.kind == "event":
        return need("events.subscribe", source, wild="*" in source)
    if trigger.kind == "outcome":
        followed, wild = _names(source.partition("/")[0])
        return need(EXECUTIONS_FOLLOW, followed, wild=wild)
    return None


def _channels(source: str) -> tuple[str, bool]:
    """What PSUBSCRIBE takes as a pattern, as a capability's."""
    return pattern_text(source.encode()) if any(sign in source for sign in "*?[\\") else (source, False)


def _names(source: str) -> tuple[str, bool]:
    """What fnmatch takes as a pattern, as a capability's, which stands for as much or more."""
    pattern = _FNMATCH.sub("*", source)
    return pattern, "*" in pattern


def unrequested(manifest: Manifest) -> tuple[str, ...]:
    """A sentence for each trigger whose right the manifest does not ask for: nobody can grant it then."""
    rights = ((trigger, right_of(trigger)) for trigger in manifest.triggers)
    return tuple(
        f"{manifest.name}: its trigger {trigger.name} will not be listened to: the manifest asks for no right to it."
        f' Add to [tool.moorage]: required = [{{ allow = "{right}", because = "..." }}]'
        for trigger, right in rights
        if right is not None and not _covered(right, manifest.capabilities)
    )


def _covered(right: Capability, requests: Iterable[RequestedCapability]) -> bool:
    return any(request.capability.covers(right) for request in requests)
