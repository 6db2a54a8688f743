"""Steps that somebody is about to take: an application's hooks are asked first, and may refuse them."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.models.installation import InstallationId


@dataclass(frozen=True)
class Step:
    """Nothing has changed yet."""

    installation: InstallationId
    #: Who wants it; empty: the host.
    by: str
    #: Why, in that person's words; may be empty.
    reason: str


@dataclass(frozen=True)
class Enabling(Step):
    """It is to take work again."""


@dataclass(frozen=True)
class Disabling(Step):
    """It is to take no new work: because it is disabled, or removed."""
