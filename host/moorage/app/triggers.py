"""Triggers as people look at them and change them, while the host runs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from moorage.app.acts import Act
from moorage.app.declared import trigger_from, with_selector
from moorage.app.wiring import Wiring
from moorage.errors import Conflict, MoorageError
from moorage.models.execution import Execution, ExecutionRequest
from moorage.models.installation import InstallationId
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.trigger import Declaration, TriggerId, TriggerState, TriggerView
from moorage.orchestrator.triggers.conditions import ACTIVE, FAILING
from moorage.orchestrator.triggers.layers import identity
from moorage.orchestrator.triggers.registry import WEBHOOK
from moorage.orchestrator.triggers.schedule import ScheduleInvalid, next_runs
from moorage.orchestrator.triggers.tick import Tick
from moorage.orchestrator.triggers.webhook import no_secret
from moorage.packages.triggers import TriggerInvalid, merged, parse_parts, parts_of, whole
from moorage.store.errors import TriggerUnknown
from moorage.supervisor import desired

#: Next runs that are shown of one trigger, and in a list.
RUNS, RUNS_IN_LIST = 5, 1

#: Of a long list, others have their turn after so many.
_AT_ONCE = 100

#: Of a trigger, what is no part that a person may change: it is another trigger then, or there is a command for it.
_FIXED = {
    "name": "its name is what it is known by. Remove it, and add another one",
    "paused": "to pause it and to resume it are commands of their own: moorage trigger pause, moorage trigger resume",
}


class TriggerWithoutTarget(Conflict):
    code = "trigger_without_target"

    def __init__(self, trigger: TriggerId, obstacle: str = "") -> None:
        """``obstacle``: of the one installation that it is for."""
        none = "no installation that it is for may run now. moorage ls says why."
        super().__init__(f"{trigger} starts nothing: {obstacle or none}")


class TriggerRemoved(Conflict):
    code = "trigger_removed"

    def __init__(self, state: TriggerState) -> None:
        super().__init__(
            f"{state.id} was removed by {state.set_by or 'someone'}, so that it starts nothing. "
            f"To have it back: moorage trigger reset {state.id}"
        )


class Triggers:
    """Implements ``moorage.web.operations.TriggerOperations``."""

    def __init__(self, parts: Wiring, act: Act) -> None:
        self._parts = parts
        self._registry = parts.registry
        self._store = parts.store.triggers
        self._act = act

    # -- look ----------------------------------------------------------------------------------------------------

    async def list(self, installation: InstallationId | None = None) -> tuple[TriggerView, ...]:
        """By id, each with its next run; those of one installation, or all. Raises InstallationUnknown."""
        if installation is not None:
            await self._parts.store.installations.get(installation)
        found = []
        for number, view in enumerate(await self._registry.views(installation)):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            found.append(await self._complete(view, RUNS_IN_LIST))
        return tuple(found)

    async def show(self, trigger: TriggerId) -> TriggerView:
        """With its next runs, and with those that it selects. Raises TriggerUnknown."""
        view = await self._complete(await self._view(trigger), RUNS)
        if view.state.installation or view.state.trigger.select is None:
            return view
        with suppress(MoorageError):  # a predicate that is not there any more is told when it fires
            selected = await self._registry.targets(view.state)
            view = replace(view, selected=tuple(each.id for each in selected))
        return view

    # -- change --------------------------------------------------------------------------------------------------

    async def pause(self, trigger: TriggerId, *, reason: str = "", by: str = "") -> TriggerView:
        """It fires no more, and its source is not listened to, when this returns. Raises TriggerUnknown."""
        state = await self._stored(trigger)
        await self._store.pause(trigger, reason, by=by or "someone")
        return await self._done("trigger pause", state, by, reason)

    async def resume(self, trigger: TriggerId, *, by: str = "") -> TriggerView:
        """Also one that was declared paused. What it missed meanwhile, its misfire policy decides.

        Raises TriggerUnknown.
        """
        state = await self._stored(trigger)
        if state.trigger.options.get("paused"):
            await self._store.change(trigger, {"paused": False}, by=by or "someone", at=_now())
        await self._store.resume(trigger)
        return await self._done("trigger resume", state, by)

    async def add(self, installation: InstallationId, given: Mapping[str, Any], *, by: str = "") -> TriggerView:
        """``given``: as in a manifest: {"cron": "0 6 * * *", "name": "nightly"}; without a name it gets one. Of one
        that selects (``select``) the installation is empty.

        Raises InstallationUnknown, TriggerInvalid, TriggerExists.
        """
        if installation:
            await self._parts.store.installations.get(installation)
        trigger = await self._new(installation, given)
        ident = identity(installation, trigger.name)
        self._check_address(ident, installation, trigger)
        declaration = Declaration(ident, trigger, Origin.PERSON, installation, by or "someone")
        return await self._done("trigger add", await self._store.add(declaration, at=_now()), by, _told(trigger))

    async def change(
        self, trigger: TriggerId, given: Mapping[str, Any], *, unset: Collection[str] = (), by: str = ""
    ) -> TriggerView:
        """Sets parts, as ``add`` names them, and takes others, which people had changed, back to what was declared. A
        later version of the plugin, and other settings, do not undo it.

        Raises TriggerUnknown, TriggerInvalid.
        """
        state = await self._stored(trigger)
        changes = _changes(state, given)
        unset = ["source" if part == state.trigger.kind else part for part in unset]
        for part in unset:
            if part not in state.changes:
                raise TriggerInvalid(
                    f"trigger {trigger}: {part}: nobody has changed it, so there is nothing to take back. "
                    f"moorage trigger show {trigger} tells whose word each part is."
                )
        if "source" in changes:
            self._check_address(trigger, state.installation, replace(state.trigger, source=changes["source"]))
        if unset:
            await self._store.undo(trigger, unset, by=by or "someone", at=_now())
        if changes:
            await self._store.change(trigger, changes, by=by or "someone", at=_now())
        words = [f"{key}={value}" for key, value in given.items()] + [f"unset {part}" for part in unset]
        return await self._done("trigger change", state, by, ", ".join(words))

    async def reset(self, trigger: TriggerId, *, by: str = "") -> TriggerView:
        """It is again as it was declared, also where a person had removed it. Raises TriggerUnknown."""
        state = await self._stored(trigger)
        await self._store.undo(trigger, (), by=by or "someone", at=_now())
        await self._store.restore(trigger, by=by or "someone", at=_now())
        await self._store.resume(trigger)
        return await self._done("trigger reset", state, by)

    async def remove(self, trigger: TriggerId, *, by: str = "") -> None:
        """A person's own is gone; one that is declared counts no more, until it is reset. Raises TriggerUnknown."""
        state = await self._stored(trigger)
        await self._store.remove(trigger, by=by or "someone", at=_now())
        await self._told("trigger remove", state, by)

    async def fire(self, trigger: TriggerId, *, by: str = "") -> tuple[Execution, ...]:
        """One execution now, of each installation that it is for, whether or not it is paused; accepted, not ended. Of
        a schedule it has a tick of this moment as its input, of a source what the trigger names itself.

        Raises TriggerUnknown, TriggerRemoved, TriggerWithoutTarget.
        """
        state = await self._stored(trigger)
        if state.removed:
            raise TriggerRemoved(state)
        targets = await self._registry.targets(state)
        if not targets:
            raise TriggerWithoutTarget(trigger, await self._obstacle(state))
        given = state.trigger.input
        if given is None and state.is_schedule:
            given = Tick(trigger, _now(), _now()).input
        requests = [
            ExecutionRequest(each.id, state.trigger.task, given, trigger="manual", trigger_id=trigger, by=by)
            for each in targets
        ]
        executions = [await self._parts.orchestrator.submit(request) for request in requests]
        for execution in executions:
            await self._store.fired(trigger, execution.id, at=execution.queued_at)
        await self._act("trigger fire", state.installation, by, trigger)
        return tuple(executions)

    # -- inside --------------------------------------------------------------------------------------------------

    async def _complete(self, view: TriggerView, runs: int) -> TriggerView:
        """With its next runs, and with what its source cannot know."""
        state, secret = view.state, view.state.trigger.options.get("secret")
        if state.trigger.kind == WEBHOOK and view.condition == ACTIVE and secret and state.installation:
            with suppress(MoorageError):  # that it cannot be opened is told to who reads it
                if await self._parts.vault.read(state.installation, secret) is None:
                    return replace(view, condition=FAILING, reason=no_secret(state.installation, secret))
        return _with_runs(view, runs)

    async def _stored(self, trigger: TriggerId) -> TriggerState:
        try:
            return await self._store.get(trigger)
        except TriggerUnknown:
            view = await self._view(trigger)
            raise TriggerInvalid(view.reason) from None

    async def _view(self, trigger: TriggerId) -> TriggerView:
        views = {view.state.id: view for view in await self._registry.views(trigger.rpartition("/")[0])}
        if trigger not in views:
            raise TriggerUnknown(trigger)
        return views[trigger]

    async def _obstacle(self, state: TriggerState) -> str:
        """Of its own installation; empty of one that selects."""
        own = await self._parts.store.installations.find(state.installation) if state.installation else None
        return "" if own is None else desired.obstacle(own.id, own.desired)

    def _check_address(self, ident: TriggerId, installation: InstallationId, trigger: Trigger) -> None:
        """Webhooks of one installation have an address each. Raises TriggerInvalid."""
        other = self._registry.webhook(installation, trigger.source) if trigger.kind == WEBHOOK else None
        if other is not None and other.id != ident:
            raise TriggerInvalid(
                f"trigger {ident}: webhook: {trigger.source!r} is the address of {other.id} already; give this one "
                "another."
            )

    async def _new(self, installation: InstallationId, given: Mapping[str, Any]) -> Trigger:
        trigger = trigger_from(given, selects=not installation)
        if trigger.name:
            return trigger
        taken = {state.trigger.name for state in await self._store.list(installation)}
        numbered = (f"{trigger.kind}-{number}" for number in range(2, len(taken) + 3))
        return replace(trigger, name=next(name for name in (trigger.kind, *numbered) if name not in taken))

    async def _done(self, action: str, state: TriggerState, by: str, message: str = "") -> TriggerView:
        await self._told(action, state, by, message)
        return await self.show(state.id)

    async def _told(self, action: str, state: TriggerState, by: str, message: str = "") -> None:
        """To the registry, so that it counts when this returns, and to the audit."""
        await self._act(action, state.installation, by, f"{state.id}{f': {message}' if message else ''}")
        if state.installation:
            await self._store.tell_hosts(state.installation)
        await self._registry.refresh([state.installation])


def _changes(state: TriggerState, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parts as the store has them. Raises TriggerInvalid."""
    what = f"trigger {state.id}"
    for key in given:
        if key in _FIXED:
            raise TriggerInvalid(f"{what}: {key}: {_FIXED[key]}.")
    parts = parse_parts(with_selector(given, what), what)
    if "select" in parts and state.installation:
        raise TriggerInvalid(f"{what}: it belongs to {state.installation}, and selects nothing.")
    kind = parts.pop("kind", state.trigger.kind)
    if kind != state.trigger.kind:
        raise TriggerInvalid(f"{what} is one of the kind {state.trigger.kind}. For another kind, add another trigger.")
    whole(merged(parts_of(state.trigger), parts), state.trigger.name, what)
    return {**{key: value for key, value in parts.items() if key != "options"}, **parts.get("options", {})}


def _with_runs(view: TriggerView, count: int) -> TriggerView:
    """What cannot be followed has none; that is its problem, and shown as that."""
    with suppress(ScheduleInvalid):
        return replace(view, next_runs=next_runs(view.state, _now(), count))
    return view


def _told(trigger: Trigger) -> str:
    return f"{trigger.kind} {trigger.source}".rstrip()


def _now() -> datetime:
    return datetime.now(UTC)
