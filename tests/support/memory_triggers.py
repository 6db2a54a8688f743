"""Triggers and policies of a host in memory (``tests/web/memory_host.py``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from moorage.models.execution import Execution, ExecutionRequest
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin, PolicyValue
from moorage.models.selection import Selector, parse_selector
from moorage.models.trigger import TriggerState, TriggerView, with_changes
from moorage.orchestrator.policy_layers import layered
from moorage.packages.policies import parse_policy
from moorage.packages.triggers import parse_parts, whole
from moorage.store.errors import TriggerExists, TriggerUnknown

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class MemoryTriggers:
    """TriggerOperations."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.views: dict[str, TriggerView] = {}

    def furnish(self) -> None:
        nightly = Trigger("cron", "0 6 * * *", "execute", {"timezone": "Europe/Berlin"}, "nightly")
        orders = Trigger("kafka", "orders", name="orders")
        everywhere = Trigger("interval", "5 min", name="all", select=Selector(tags=("etl",)))
        self._put(TriggerState("churn/nightly", nightly, Origin.MANIFEST, "churn", fired=12, last_at=NOON), NOON)
        sentence = "It needs kafka.consume:orders. moorage grant churn 'kafka.consume:orders'"
        self._put(
            TriggerState("churn/orders", orders, Origin.SETTINGS, "churn"), condition="not granted", reason=sentence
        )
        self._put(TriggerState("all", everywhere, Origin.PERSON, set_by="dana"), NOON + timedelta(minutes=5))

    async def list(self, installation: str | None = None) -> tuple[TriggerView, ...]:
        if installation is not None:
            self.host._plugin(installation)
        found = [view for _, view in sorted(self.views.items())]
        return tuple(view for view in found if installation in (None, view.state.installation))

    async def show(self, trigger: str) -> TriggerView:
        if trigger not in self.views:
            raise TriggerUnknown(trigger)
        return self.views[trigger]

    async def pause(self, trigger: str, *, reason: str = "", by: str = "") -> TriggerView:
        state = (await self.show(trigger)).state
        self.host._record(by, "trigger pause", state.installation)
        return self._put(
            replace(state, paused=True, paused_reason=reason, paused_by=by), condition="paused", reason="Paused."
        )

    async def resume(self, trigger: str, *, by: str = "") -> TriggerView:
        state = (await self.show(trigger)).state
        return self._put(replace(state, paused=False, paused_reason="", paused_by=""), NOON)

    async def add(self, installation: str, given: Mapping[str, Any], *, by: str = "") -> TriggerView:
        if installation:
            self.host._plugin(installation)
        given = dict(given)
        select = parse_selector(given.pop("select")) if "select" in given else None
        trigger = whole(parse_parts(given, "trigger"), str(given.get("name", "")), "trigger")
        trigger = replace(trigger, name=trigger.name or trigger.kind, select=select)
        ident = f"{installation}/{trigger.name}" if installation else trigger.name
        if ident in self.views:
            raise TriggerExists(ident)
        return self._put(TriggerState(ident, trigger, Origin.PERSON, installation, set_by=by))

    async def change(
        self, trigger: str, given: Mapping[str, Any], *, unset: Collection[str] = (), by: str = ""
    ) -> TriggerView:
        state = (await self.show(trigger)).state
        parts = parse_parts(given, f"trigger {trigger}")
        parts.pop("kind", None)
        changes = {key: value for key, value in {**state.changes, **parts}.items() if key not in unset}
        after = with_changes(state.declared or state.trigger, changes)
        return self._put(replace(state, trigger=after, declared=state.declared or state.trigger, changes=changes))

    async def reset(self, trigger: str, *, by: str = "") -> TriggerView:
        state = (await self.show(trigger)).state
        return self._put(replace(state, trigger=state.declared or state.trigger, changes={}, removed=False), NOON)

    async def remove(self, trigger: str, *, by: str = "") -> None:
        del self.views[(await self.show(trigger)).state.id]

    async def fire(self, trigger: str, *, by: str = "") -> tuple[Execution, ...]:
        state = (await self.show(trigger)).state
        request = ExecutionRequest(state.installation or "churn", state.trigger.task, trigger="manual", by=by)
        return (await self.host.submit(request),)

    def _put(
        self, state: TriggerState, run: datetime | None = None, *, condition: str = "active", reason: str = ""
    ) -> TriggerView:
        origins = dict.fromkeys(["source", "task", *state.trigger.options], state.origin)
        origins |= dict.fromkeys(state.changes, Origin.PERSON)
        runs = () if run is None else (run,)
        selected = () if state.installation else ("churn",)
        self.views[state.id] = TriggerView(state, condition, reason, runs, origins, selected)
        return self.views[state.id]


class MemoryPolicies:
    """PolicyOperations."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.people: dict[str, PolicyValue] = {}

    async def show(self, name: str) -> tuple[PolicyValue, ...]:
        return layered(self.host._plugin(name).installation.manifest, {"retries": 2}, self.people.values())

    async def change(
        self, name: str, given: Mapping[str, Any], *, reset: Collection[str] = (), by: str = ""
    ) -> tuple[PolicyValue, ...]:
        self.host._plugin(name)
        values = parse_policy(given, f"policy of {name}")
        self.people = {key: value for key, value in self.people.items() if key not in reset}
        self.people |= {key: PolicyValue(key, value, Origin.PERSON, by, NOON) for key, value in values.items()}
        return await self.show(name)
