"""Settings of installations."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, JsonValue, model_validator

from moorage.models import config as models
from moorage.models.config import ConfigOrigin, Hearing
from moorage.web.schemas.base import Document, Input, Order
from moorage.web.values import text, to_json


class ConfigOrder(Order):
    set: dict[str, Input] = Field(default={}, description="Values by dotted key: `mail.from`.")
    unset: list[str] = Field(default=[], description="Keys, or tables, that were set at run time.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.set and not self.unset:
            raise ValueError("say what to set or unset")
        for key in (*self.set, *self.unset):
            if not all(key.split(".")):
                raise ValueError(f"{key!r} is no key of a setting")
        return self

    def model(self) -> models.ConfigOrder:
        return models.ConfigOrder(dict(self.set), tuple(self.unset))


class ConfigEntry(Document):
    key: str
    value: JsonValue
    origin: ConfigOrigin = Field(description="Of the three the last one counts: default, settings, run time.")
    set_by: str = ""
    set_at: datetime | None = None

    @classmethod
    def of(cls, entry: models.ConfigEntry) -> Self:
        return cls(
            key=text(entry.key),
            value=to_json(entry.value),
            origin=entry.origin,
            set_by=entry.set_by,
            set_at=entry.set_at,
        )


class Heard(Document):
    """What one worker made of a change."""

    number: int
    hearing: Hearing = Field(description="Of one that refused, the settings count all the same.")
    sentence: str = ""

    @classmethod
    def of(cls, heard: models.Heard) -> Self:
        return cls(number=heard.number, hearing=heard.hearing, sentence=text(heard.sentence))


class Config(Document):
    """All settings of an installation."""

    installation: str
    entries: list[ConfigEntry]
    changed: list[str] = Field(description="Keys whose values this change has changed.")
    heard: list[Heard] = Field(description="What the workers that were ready made of it.")
    problem: str = Field(default="", description="Why the settings do not fit the plugin's schema; empty: they fit.")

    @classmethod
    def of(cls, view: models.ConfigView) -> Self:
        return cls(
            installation=view.installation,
            entries=[ConfigEntry.of(entry) for entry in view.entries],
            changed=[text(key) for key in view.changed],
            heard=[Heard.of(heard) for heard in view.heard],
            problem=text(view.problem),
        )
