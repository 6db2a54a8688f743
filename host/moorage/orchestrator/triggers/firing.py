"""Ticks of schedules become executions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moorage.models.execution import Execution, ExecutionRequest
from moorage.models.installation import Installation
from moorage.models.trigger import TriggerState
from moorage.orchestrator.triggers.base import NotNow
from moorage.orchestrator.triggers.door import DoorParts, overlap_of
from moorage.orchestrator.triggers.tick import Tick


class Firing:
    """Implements ``moorage.orchestrator.triggers.schedules.Firing``."""

    def __init__(self, parts: DoorParts, obstacle: Callable[[TriggerState], str]) -> None:
        self._parts = parts
        self.obstacle = obstacle

    async def fire(self, state: TriggerState, tick: Tick) -> Sequence[Execution]:
        """As the contract says. Of one that selects: an execution of each that is selected and may run."""
        targets = await self._parts.targets(state)
        if state.installation and not targets:
            raise NotNow(self.obstacle(state) or f"{state.installation} may not run now.")
        return [await self._parts.orchestrator.submit(self._request(state, tick, each)) for each in targets]

    def _request(self, state: TriggerState, tick: Tick, installation: Installation) -> ExecutionRequest:
        trigger = state.trigger
        return ExecutionRequest(
            installation.id,
            task=trigger.task,
            input=tick.input if trigger.input is None else trigger.input,
            trigger=trigger.kind,
            trigger_id=state.id,
            key=tick.key("" if state.installation else installation.id),
            patient=True,
            attempts=trigger.options.get("attempts"),
            overlap=overlap_of(state),
        )
