"""What the kernel really enforces: the result of a probe, or of looking at one worker from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple

#: Strongest first.
LEVELS = ("full", "full-bwrap", "restricted", "none")


@dataclass(frozen=True)
class MissingLayer:
    """A layer that could not be had, in words an operator can act on."""

    #: Key of ``SandboxReport.layers``.
    layer: str
    #: Of the system call that failed; 0 where none did.
    errno: int
    #: What was tried and what answered: "unshare(CLONE_NEWUSER) answered EPERM".
    reason: str
    #: What a plugin can do that it could not do otherwise.
    consequence: str
    #: What an operator may change.
    remedy: str


@dataclass(frozen=True)
class SandboxReport:
    #: One of LEVELS.
    level: str
    #: Layer to what is in force: {"mount": "own, empty root", "landlock": "ABI 7: files, TCP, scopes", ...}.
    layers: Mapping[str, str]
    missing: Tuple[MissingLayer, ...] = ()


def at_least(level: str, required: str) -> bool:
    """Whether a level is as strong as the required one."""
    return LEVELS.index(level) <= LEVELS.index(required)
