"""The right that a plugin's own trigger needs, as each source asks for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from moorage.models.manifest import Manifest, RequestedCapability, Trigger
from moorage_proto.capability import EXECUTIONS_FOLLOW, KAFKA_CONSUME, REDIS_CONSUME, Capability, need


def right_of(trigger: Trigger) -> Capability | None:
    """What must be granted before its source is listened to, where the manifest says what that is. None: nothing."""
    options, source = trigger.options, trigger.source
    backend = str(options.get("backend", ""))
    if trigger.kind == "kafka":
        return need(KAFKA_CONSUME, source, backend=backend)
    if trigger.kind == "redis":
        verb = REDIS_CONSUME if options.get("mode") == "stream" else "redis.subscribe"
        return need(verb, source, backend=backend, wild="*" in source)
    if trigger.kind == "servicebus":
        subscription = options.get("subscription")
        entity = f"{source}/subscriptions/{subscription}" if subscription else source
        return need("servicebus.receive", entity, backend=backend)
    if trigger.kind == "event":
        return need("events.subscribe", source, wild="*" in source)
    if trigger.kind == "outcome":
        followed = source.partition("/")[0]
        return need(EXECUTIONS_FOLLOW, followed, wild="*" in followed)
    return None


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
