"""What plugins bring, also of those that do not run."""

from __future__ import annotations

import logging

from moorage.errors import MoorageError
from moorage.events.bus import EventBus
from moorage.events.events import Loaded
from moorage.models.contributions import Contributions
from moorage.models.installation import Installation, InstallationId
from moorage.models.views import ContributionsView
from moorage.store.contributions import Contributions as Stored
from moorage.supervisor.supervisor import Supervisor

log = logging.getLogger(__name__)


class KnownContributions:
    """Keeps what each worker tells once it is ready, until its task is cancelled."""

    def __init__(self, store: Stored, events: EventBus, supervisor: Supervisor) -> None:
        self._store = store
        self._loaded = events.subscribe(Loaded)
        self._supervisor = supervisor

    async def run(self) -> None:
        async for event in self._loaded:
            await self._keep(event.installation)

    async def of(self, installation: Installation) -> ContributionsView | None:
        """Of a worker that has loaded it, or of the last one of the same code; None: there was none yet."""
        for each in self._supervisor.living(installation.id):
            if each.status.ready_at is not None:
                return view_of(each.contributions)
        return await self._store.of(installation.id, installation.code_hash)

    async def _keep(self, name: InstallationId) -> None:
        for each in self._supervisor.living(name):
            # It may be on its way out already.
            if each.status.ready_at is not None:
                try:
                    await self._store.put(name, each.installation.code_hash, view_of(each.contributions))
                except MoorageError as error:
                    log.warning("%s: what it brings is not kept: %s", name, error)
                return


def view_of(told: Contributions) -> ContributionsView:
    return ContributionsView(told.tasks, told.handlers, told.hooks)
