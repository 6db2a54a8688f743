"""Settings of installations: where each comes from, and what became of a change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from moorage.models.installation import InstallationId


class ConfigOrigin(StrEnum):
    """Later ones count before earlier ones."""

    DEFAULT = "default"
    #: The host's own settings file.
    SETTINGS = "settings"
    #: Set by a person, or given with the installation; kept in the store.
    RUN_TIME = "run time"


@dataclass(frozen=True)
class ConfigValue:
    """One that was set at run time."""

    #: Dotted: "mail.from".
    key: str
    value: Any
    set_by: str
    set_at: datetime


@dataclass(frozen=True)
class ConfigEntry:
    """One setting as it counts."""

    key: str
    value: Any
    origin: ConfigOrigin
    #: Of one that was set at run time.
    set_by: str = ""
    set_at: datetime | None = None


@dataclass(frozen=True)
class ConfigOrder:
    """What a person wants changed. Of one that is set, what was set below its key is gone."""

    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()


class Hearing(StrEnum):
    """What a worker made of a change."""

    TAKEN = "taken"
    #: It has the new settings; its on_config_changed, or its settings class, said no.
    REFUSED = "refused"
    #: It did not answer, or its SDK knows of no changes.
    UNHEARD = "unheard"


@dataclass(frozen=True)
class Heard:
    #: Of the worker: #7.
    number: int
    hearing: Hearing
    #: Why, where it was not taken.
    sentence: str = ""


@dataclass(frozen=True)
class ConfigView:
    """The settings of an installation."""

    installation: InstallationId
    #: By key.
    entries: tuple[ConfigEntry, ...]
    #: Keys whose values the last change has changed.
    changed: tuple[str, ...] = ()
    #: What its workers made of that; only of an answer to a change.
    heard: tuple[Heard, ...] = ()
    #: Why these settings do not fit the plugin's schema, so that it does not start; empty: they fit.
    problem: str = ""
