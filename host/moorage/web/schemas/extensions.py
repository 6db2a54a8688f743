"""Extension points of the application."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from moorage.models import extensions as models
from moorage.web.schemas.base import Document
from moorage.web.values import text


class Implementation(Document):
    """What one installation implements of an extension point."""

    installation: str
    point: str
    version: int = Field(description="That it was written for; 0: it has not been loaded yet.")
    methods: list[str]
    standing: str = Field(
        description="current and old are called; too old, too new, different, unknown and not granted are not; not"
        " loaded: it is known when it has started."
    )
    sentence: str = Field(description="What to know of it, and what to do; empty: nothing.")
    calls: int = Field(description="Since the host started.")
    failures: int = Field(description="Of those calls, and calls that it was not ready for.")
    last_failure: str = Field(description="Empty: there was none.")
    last_failure_at: datetime | None

    @classmethod
    def of(cls, view: models.ImplementationView) -> Self:
        return cls(
            installation=view.installation,
            point=text(view.point),
            version=view.version,
            methods=list(map(text, view.methods)),
            standing=view.standing,
            sentence=text(view.sentence),
            calls=view.counts.calls,
            failures=view.counts.failures,
            last_failure=text(view.counts.last_failure),
            last_failure_at=view.counts.last_failure_at,
        )


class ExtensionPoint(Document):
    """One that the application declares."""

    name: str
    version: int
    compatible: list[int] = Field(description="Older versions that are called, too.")
    methods: list[str]
    implementations: list[Implementation] = Field(description="By installation.")

    @classmethod
    def of(cls, view: models.ExtensionPointView) -> Self:
        return cls(
            name=view.name,
            version=view.version,
            compatible=list(view.compatible),
            methods=list(view.methods),
            implementations=[Implementation.of(each) for each in view.implementations],
        )
