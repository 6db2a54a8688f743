"""Rights in plain sentences, for the person who grants them. Pure.

Every verb of the built-in services has its sentence here; of an application's own verbs its service gives them
(``Words``). Resources are shown as they were written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from moorage_proto.capability import (
    DEVICE,
    FILES_READ,
    MAIN_BACKEND,
    SANDBOX_VERBS,
    WHOLE_FOLDER,
    Capability,
)

#: Sentences of an application's own verbs; ``{resource}`` stands for the resource.
Words = Mapping[str, str]

_BARE = {
    "sandbox.subprocess": (
        "It may start programs of its own environment and processes of its own, inside its sandbox, with the same"
        " limits. More of the kernel is open to it, and its memory limit counts for each process where no control"
        " group holds the sum."
    ),
    "sandbox.proc": (
        "It may read what the kernel tells of its own process: memory map, descriptors, limits. Nothing of other"
        " processes, and nothing of this machine."
    ),
}


def widens_sandbox(capability: Capability) -> bool:
    """Whether it takes effect when a worker starts, and not with the next call."""
    return capability.verb in SANDBOX_VERBS


def sentence(capability: Capability, words: Words | None = None) -> str:
    """What granting it means. Never empty."""
    verb = capability.verb
    if verb in _BARE:
        return _BARE[verb]
    if verb in (DEVICE, FILES_READ):
        return _machine(capability)
    if words is not None and verb in words:
        return words[verb].replace("{resource}", capability.resource)
    if verb in _OWN:
        return _OWN[verb](capability.resource)
    if verb in _BACKENDS:
        return _of_backend(capability)
    if capability.service == "http":
        return _http(verb.partition(".")[2], capability.resource)
    return f"It may do what this host's application calls {verb}, with {_things('', 'anything', capability.resource)}."


def _machine(capability: Capability) -> str:
    """The rights that reach what is outside of both sandbox and services."""
    path = capability.resource
    if capability.verb == DEVICE:
        return (
            f"DANGEROUS: it talks to the driver behind {path} without any check by the host. A mistake in that driver"
            " is a way out of the sandbox, and into the kernel."
        )
    if path.endswith(WHOLE_FOLDER):
        folder = path.removesuffix(WHOLE_FOLDER)
        return (
            f"DANGEROUS: it reads every file in {folder} of this machine that its user may read, now and later. What it"
            " has read it can pass on by every other way that it was granted."
        )
    return f"It reads the file {path} of this machine, and can pass on what it has read."


def _things(one: str, every: str, pattern: str) -> str:
    """ "the table users", "every table whose name fits log_*", "every table"."""
    if pattern == "**":
        return every
    if "*" in pattern:
        return f"{every} whose name fits {pattern}"
    return f"{one} {pattern}".lstrip()


def _setting(resource: str) -> str:
    return f"It reads {_things('the setting', 'every setting', resource)} of its own."


def _event(what: str) -> Callable[[str], str]:
    return lambda resource: f"It {what} {_things('the event', 'every event', resource)} on the host's bus."


def _secret(what: str) -> Callable[[str], str]:
    return lambda resource: f"It {what} {_things('the secret', 'every secret', resource)} of this installation."


def _connects(resource: str) -> str:
    place = "every host and port that the host's machine reaches" if resource == "**" else resource
    return f"It opens network connections to {place}, and what it sends there the host does not see."


#: Of services without backends.
_OWN: Mapping[str, Callable[[str], str]] = {
    "config.read": _setting,
    "log.name": lambda resource: f"It writes log lines under {_things('the name', 'every name', resource)}.",
    "events.publish": _event("publishes"),
    "events.subscribe": _event("receives"),
    "events.request": lambda name: f"It asks other plugins {_things('the question', 'every question', name)}.",
    "events.reply": lambda name: f"It answers {_things('the question', 'every question', name)} of other plugins.",
    "extensions.implement": lambda name: (
        f"The application calls it for {_things('the extension point', 'every extension point', name)}, and gives it"
        " what such a call carries."
    ),
    "secrets.read": _secret("reads"),
    "secrets.write": _secret("writes"),
    "executions.follow": lambda name: (
        "It is run when executions end, and is told their outcomes and results: those of"
        f" {_things('the installation', 'every installation', name)}."
    ),
    "storage.use": lambda size: f"It keeps files of its own, up to {size}.",
    "secrets.use": lambda resource: (
        f"The host puts {_things('the secret', 'every secret', resource)} of this installation into headers of its"
        " requests; it does not see it itself."
    ),
    "net.connect": _connects,
    "net.private": lambda host: (
        f"It reaches {_things('the host', 'every host', host)} also where that is a private address: of this machine,"
        " or of the networks that it is in."
    ),
}

#: What is done, to one thing or every thing of that kind, and where that is.
_BACKENDS: Mapping[str, tuple[str, str, str, str]] = {
    "sql.read": ("reads", "the table", "every table", "database"),
    "sql.write": ("adds, changes and deletes rows of", "the table", "every table", "database"),
    "sql.define": ("creates, alters and drops", "the table", "every table", "database"),
    "redis.read": ("reads", "the key", "every key", "Redis server"),
    "redis.write": ("writes and deletes", "the key", "every key", "Redis server"),
    "redis.publish": ("publishes to", "the channel", "every channel", "Redis server"),
    "redis.subscribe": ("receives what is published to", "the channel", "every channel", "Redis server"),
    "redis.consume": ("is run for what is added to", "the stream", "every stream", "Redis server"),
    "redis.script": ("runs", "the Lua script or function", "every Lua script and function", "Redis server"),
    "kafka.consume": ("is run for the messages of", "the topic", "every topic", "Kafka cluster"),
    "kafka.produce": ("sends messages to", "the topic", "every topic", "Kafka cluster"),
    "servicebus.send": (
        "sends messages to",
        "the queue or topic",
        "every queue and topic",
        "Service Bus namespace",
    ),
    "servicebus.receive": (
        "takes messages from",
        "the queue or subscription",
        "every queue and subscription",
        "Service Bus namespace",
    ),
}


def _of_backend(capability: Capability) -> str:
    does, one, every, kind = _BACKENDS[capability.verb]
    backend, _, name = capability.resource.partition("/")
    what = _things(one, every, name)
    if capability.columns:
        noun = "column" if len(capability.columns) == 1 else "columns"
        what = f"the {noun} {', '.join(capability.columns)} of {what}"
        does = "changes" if capability.verb == "sql.write" else does
    if backend == MAIN_BACKEND:
        return f"It {does} {what}."
    return f"It {does} {what} of {f'every {kind}' if '*' in backend else f'the {kind} {backend}'}."


def _http(method: str, resource: str) -> str:
    requests = {"*": "every kind of HTTP request"}.get(method, f"HTTP {method.upper()} requests")
    place = "every address that the host's machine reaches" if resource == "**" else resource
    return f"It makes {requests} to {place}."
