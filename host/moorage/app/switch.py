"""The switch for all installations, as people and the application set it."""

from __future__ import annotations

from datetime import UTC, datetime

from moorage.app.acts import Act
from moorage.app.shown import stop_report
from moorage.app.wiring import Wiring
from moorage.models.switch import SwitchState
from moorage.models.views import StopReport


class Switch:
    """Implements ``moorage.web.operations.SwitchOperations``.

    While it is off nothing opens a scope: no execution begins, no event, request or call of an extension point reaches
    a plugin, no trigger fires, and nothing is acknowledged and dropped. It survives restarts of the host. Hooks are not
    asked: it is for emergencies.
    """

    def __init__(self, parts: Wiring, act: Act) -> None:
        self._parts = parts
        self._act = act

    async def state(self) -> SwitchState:
        """Who set it, when and why."""
        return await self._parts.store.switches.get()

    async def off(self, *, reason: str = "", by: str = "") -> tuple[StopReport, ...]:
        """Returns when what ran has finished, up to each one's drain timeout, and no worker is left. By name."""
        await self._act("switch off", "", by, reason)
        ended = await self._parts.supervisor.switch(_state(False, reason, by))
        return tuple(stop_report(name, each, "stopped") for name, each in sorted(ended.items()))

    async def on(self, *, reason: str = "", by: str = "") -> SwitchState:
        """What was up before comes up again, and what waits begins; it does not wait for that."""
        await self._act("switch on", "", by, reason)
        state = _state(True, reason, by)
        await self._parts.supervisor.switch(state)
        return state


def _state(is_on: bool, reason: str, by: str) -> SwitchState:
    return SwitchState(is_on, reason, by or "host", datetime.now(UTC))
