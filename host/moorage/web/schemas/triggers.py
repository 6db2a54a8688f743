"""Triggers, as people look at them and change them."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field, JsonValue

from moorage.models import trigger as models
from moorage.models.policy import Origin
from moorage.models.selection import format_selector
from moorage.web.schemas.base import Document, Input, Order, Reason
from moorage.web.values import text, to_json

#: Parts by name, as a manifest writes them.
Parts = dict[str, Input]


class TriggerOrder(Order):
    """A new one."""

    installation: str = Field(default="", description="Empty: it selects its installations.")
    trigger: Parts = Field(description='As in a manifest: {"cron": "0 6 * * *", "name": "nightly", "task": "report"}.')


class TriggerChange(Order):
    set: Parts = Field(default={}, description="Parts that become others: the kind's own source, an option, `task`.")
    unset: list[str] = Field(default=[], description="Parts that are again as they were declared.")


class PauseOrder(Order):
    reason: Reason = Field(default="", description="Shown to whoever asks why it does not fire.")


class Trigger(Document):
    """What starts executions, how it is, and when it fires next."""

    id: str = Field(description='"installation/name", or "name" of one that selects.')
    installation: str = Field(description="Empty: it selects.")
    name: str
    kind: str
    source: str
    task: str
    input: JsonValue = None
    options: JsonValue = {}
    select: JsonValue = Field(default=None, description="Which installations, by what they are.")
    selected: list[str] = Field(default=[], description="Those that it would run now. Of one trigger alone.")
    condition: str = Field(description="active, paused, idle, not granted, failing, invalid or removed.")
    reason: str = Field(description="Why it is not active, with the next step.")
    origin: Origin
    origins: dict[str, Origin] = Field(description="Whose word each part is.")
    next_runs: list[datetime] = Field(default=[], description="Of a schedule.")
    last_at: datetime | None = None
    last_execution: str = ""
    fired: int = Field(description="Executions that it has started.")
    skipped: int = Field(description="Ticks and signals that it dropped by its own rules.")
    paused: bool
    paused_reason: str
    paused_by: str
    removed: bool
    set_by: str = Field(description="Who changed it last, of people.")
    set_at: datetime | None = None
    host: str = Field(description="The host that listens, where one alone may.")

    @classmethod
    def of(cls, view: models.TriggerView) -> Self:
        state, trigger = view.state, view.state.trigger
        return cls(
            id=state.id,
            installation=state.installation,
            name=trigger.name,
            kind=trigger.kind,
            source=text(trigger.source),
            task=trigger.task,
            input=to_json(trigger.input),
            options=to_json(trigger.options),
            select=None if trigger.select is None else format_selector(trigger.select),
            selected=list(view.selected),
            condition=view.condition,
            reason=text(view.reason),
            origin=state.origin,
            origins=dict(view.origins),
            next_runs=list(view.next_runs),
            last_at=state.last_at,
            last_execution=state.last_execution,
            fired=state.fired,
            skipped=state.skipped,
            paused=state.paused,
            paused_reason=text(state.paused_reason),
            paused_by=text(state.paused_by),
            removed=state.removed,
            set_by=text(state.set_by),
            set_at=state.set_at,
            host=state.host,
        )
