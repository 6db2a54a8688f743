"""Rights in words for the person who grants them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from moorage_proto.capability import DEVICE, FILES_READ, SANDBOX_VERBS, WHOLE_FOLDER, Capability

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


def plain_words(capability: Capability) -> str:
    """What granting it means; empty for a right that says so itself, such as to read a table."""
    path = capability.resource
    if capability.verb in _BARE:
        return _BARE[capability.verb]
    if capability.verb == DEVICE:
        return (
            f"DANGEROUS: it talks to the driver behind {path} without any check by the host. A mistake in that driver"
            " is a way out of the sandbox, and into the kernel."
        )
    if capability.verb != FILES_READ:
        return ""
    if path.endswith(WHOLE_FOLDER):
        folder = path.removesuffix(WHOLE_FOLDER)
        return (
            f"DANGEROUS: it reads every file in {folder} of this machine that its user may read, now and later. What it"
            " has read it can pass on by every other way that it was granted."
        )
    return f"It reads the file {path} of this machine, and can pass on what it has read."


def dangers(capabilities: Iterable[Capability]) -> tuple[str, ...]:
    """What has to be said aloud when these are granted, each right with its words."""
    told = ((capability, plain_words(capability)) for capability in capabilities)
    return tuple(f"{capability}: {words}" for capability, words in told if words)
