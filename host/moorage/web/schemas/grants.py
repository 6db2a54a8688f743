"""Grants and deny rules."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Self

from pydantic import Field, model_validator

from moorage.models import grants, views
from moorage.models.use import UseView
from moorage.web.schemas.base import Document, Order, Reason


class Grant(Document):
    """A capability that the manifest requests, and whether the operator granted it."""

    capability: str
    because: str
    required: bool
    granted: bool
    granted_by: str = ""
    granted_at: datetime | None = None
    meaning: str = Field(default="", description="What granting it means, in a sentence.")
    widens_sandbox: bool = Field(default=False, description="It takes effect when a worker starts.")
    denied_by: str = Field(default="", description="The deny rule that takes it away; empty: none does.")
    requested: bool = Field(default=True, description="Whether the manifest asks for it; otherwise it has no effect.")
    fail_closed: bool = Field(default=False, description="Refused while the audit cannot be written.")
    uses: int = Field(default=0, description="Calls that it allowed since it was granted.")
    used_at: datetime | None = Field(default=None, description="The last of them.")

    @classmethod
    def of(cls, grant: views.GrantView) -> Self:
        return cls(
            capability=grant.capability,
            because=grant.because,
            required=grant.required,
            granted=grant.granted,
            granted_by=grant.granted_by,
            granted_at=grant.granted_at,
            meaning=grant.meaning,
            widens_sandbox=grant.widens_sandbox,
            denied_by=grant.denied_by,
            requested=grant.requested,
            fail_closed=grant.fail_closed,
            uses=grant.uses,
            used_at=grant.used_at,
        )


class Denial(Document):
    """A deny rule; it beats every grant."""

    capability: str
    because: str = ""
    denied_by: str
    denied_at: datetime
    meaning: str = ""

    @classmethod
    def of(cls, denial: views.DenialView) -> Self:
        return cls(
            capability=denial.capability,
            because=denial.because,
            denied_by=denial.denied_by,
            denied_at=denial.denied_at,
            meaning=denial.meaning,
        )


class GrantOrder(Order):
    """A list of capabilities, or all that the plugin requires, or all that it can do without, or both of these."""

    capabilities: list[str] = []
    required: bool = False
    optional: bool = False
    because: Reason = Field(default="", description="Why, for whoever asks later.")
    fail_closed: bool = Field(default=False, description="Refuse calls under them while the audit cannot be written.")

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if bool(self.capabilities) == (self.required or self.optional):
            raise ValueError('give either "capabilities", or "required": true, "optional": true, or both of these')
        return self

    def model(self) -> grants.GrantOrder:
        return grants.GrantOrder(tuple(self.capabilities), self.required, self.optional, self.because, self.fail_closed)


class DenyOrder(Order):
    capabilities: list[str] = Field(min_length=1)
    because: Reason = Field(default="", description="Why, for whoever asks later.")


class Meaning(Document):
    capability: str
    meaning: str


class GrantPreview(Document):
    """What granting something would come to."""

    capabilities: list[Meaning]
    dangers: list[str] = Field(description="What is to be said aloud, and does not hold already.")

    @classmethod
    def of(cls, preview: views.GrantPreview) -> Self:
        return cls(
            capabilities=[Meaning(capability=text, meaning=meaning) for text, meaning in preview.capabilities],
            dangers=list(preview.dangers),
        )


class MethodUse(Document):
    """By all its workers, while the host runs."""

    method: str = Field(
        description='Such as "KafkaService.Produce"; empty: of all methods that the host does not have.'
    )
    calls: int = Field(description="That passed the gate.")
    denied: int
    bytes_in: int = Field(description="Of requests.")
    bytes_out: int = Field(description="Of replies.")


class Use(Document):
    """What an installation makes of what it may do."""

    since: datetime | None = Field(description="Since when methods are counted; absent: it has made no call.")
    methods: list[MethodUse] = Field(description="Those called most come first.")
    grants: list[Grant] = Field(description="What is granted, with its `uses` and the last of them, `used_at`.")

    @classmethod
    def of(cls, use: UseView, views_of_grants: Iterable[views.GrantView]) -> Self:
        return cls(
            since=use.since,
            methods=[
                MethodUse(
                    method=each.method,
                    calls=each.calls,
                    denied=each.denied,
                    bytes_in=each.bytes_in,
                    bytes_out=each.bytes_out,
                )
                for each in use.methods
            ],
            grants=[Grant.of(grant) for grant in views_of_grants if grant.granted],
        )
