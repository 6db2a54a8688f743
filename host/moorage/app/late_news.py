"""What changed while a worker started: it is told when it is ready."""

from __future__ import annotations

from moorage.app.configs import Configs
from moorage.app.log_levels import LogLevels
from moorage.events.bus import EventBus
from moorage.events.events import Loaded
from moorage.models.installation import InstallationId
from moorage.owned import OwnedTasks
from moorage.supervisor.supervisor import Supervisor


class LateNews:
    """Until its task is cancelled."""

    def __init__(self, events: EventBus, supervisor: Supervisor, configs: Configs, levels: LogLevels) -> None:
        self._events = events
        self._supervisor = supervisor
        self._configs = configs
        self._levels = levels
        self._telling = OwnedTasks()

    async def run(self) -> None:
        async with self._events.subscribe(Loaded) as loaded:
            async for event in loaded:
                # A hook may take its time: others are told meanwhile.
                self._telling.start(self._tell(event.installation), f"late news for {event.installation}")

    async def _tell(self, name: InstallationId) -> None:
        for worker in self._supervisor.living(name):
            if worker.ready and self._levels.touched(name):
                await worker.set_log_levels(self._levels.for_worker(name))
            if worker.ready:
                await worker.change_config(self._configs.of_or_empty(worker.installation))
