"""What other hosts of the store change of its installations counts here too, within about a second.

The store has no way to call a host that serves both databases, so each host looks: at one number for each installation,
which grows with every change that concerns all hosts, and at the rest only where that number is another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

from moorage.app.config import tell
from moorage.app.removal import forget
from moorage.app.wiring import Wiring
from moorage.clock import Clock, sleep
from moorage.errors import MoorageError
from moorage.events.events import ConfigChanged, GrantsChanged
from moorage.models.installation import DesiredState, InstallationId, Revision
from moorage.owned import OwnedTasks
from moorage.packages.config_layers import differing

log = logging.getLogger(__name__)

#: Who did it, as it is told here.
BY = "another host"


class OtherHosts:
    """Used by the host alone. What was changed on this host counts already, and is left as it is."""

    def __init__(self, parts: Wiring, clock: Clock, interval: timedelta) -> None:
        self._parts = parts
        self._clock = clock
        self._interval = interval
        #: What was acted upon.
        self._seen: dict[InstallationId, Revision] = {}
        #: As stored; in memory a host may hold an installation for reasons that it could not store.
        self._desired: dict[InstallationId, DesiredState] = {}
        self._epochs: dict[InstallationId, int] = {}
        self._secrets: tuple[int, int] | None = None
        #: What is found first was found by the host already, when it opened.
        self._opening = True
        self._own_grants = parts.events.subscribe(GrantsChanged)
        #: One task for each installation: a hook of one may take its time.
        self._catching_up: dict[InstallationId, asyncio.Task[None]] = {}
        self._tasks = OwnedTasks()
        self._failing = False

    @contextlib.asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Looks at intervals, until the end of the block."""
        looking = asyncio.create_task(self._run(), name="other hosts")
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait((looking,))
            self._own_grants.close()
            await self._tasks.settled()

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except MoorageError as error:
                self._complain(error)
            else:
                self._failing = False
            await sleep(self._clock, self._interval)

    async def look(self) -> None:
        """Once. Raises what the store raises."""
        revisions = await self._parts.store.installations.revisions()
        for name, revision in revisions.items():
            # Of what is being installed here whoever installs it makes known what counts.
            if revision != self._seen.get(name) and self._parts.supervisor.keeper(name) is not None:
                self._start(name, partial(self._catch_up, name, revision))
        for name in self._seen.keys() - revisions.keys():
            self._start(name, partial(self._removed, name))
        await self._parts.supervisor.look_at_switch()
        await self._parts.registry.look_at_selecting()
        secrets = await self._parts.store.secrets.mark()
        if secrets != self._secrets:
            await self._parts.vault.look()
            self._secrets = secrets
        if self._opening:
            await self._tasks.settled()
            self._opening = False

    def _start(self, name: InstallationId, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if name not in self._catching_up:
            task = self._catching_up[name] = self._tasks.start(self._told(name, work), f"other hosts: {name}")
            task.add_done_callback(lambda _: self._catching_up.pop(name, None))

    async def _told(self, name: InstallationId, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except MoorageError as error:
            # It is found again at the next look.
            log.warning("%s: what another host changed does not count here yet: %s", name, error)

    async def _catch_up(self, name: InstallationId, revision: Revision) -> None:
        before = self._seen.get(name)
        if before is None or before.grants_epoch != revision.grants_epoch:
            await self._grants(name, revision.grants_epoch)
        if before is None or before.number != revision.number:
            await self._want(name)
            await self._configure(name)
            await self._rule(name)
            await self._parts.log_levels.look(name)
            self._parts.policies.learn(name, await self._parts.store.policy_values.of(name))
            await self._parts.orchestrator.reconsider(name)
            await self._parts.registry.refresh([name])
        self._seen[name] = revision

    async def _grants(self, name: InstallationId, epoch: int) -> None:
        while self._own_grants.pending:
            event = await self._own_grants.__anext__()
            if isinstance(event, GrantsChanged):
                self._epochs[event.installation] = event.epoch
        if self._epochs.get(name, 0) < epoch:
            grants = await self._parts.supervisor.regrant(name)
            if not self._opening:
                self._parts.events.announce(GrantsChanged(name, grants.epoch, BY))

    async def _want(self, name: InstallationId) -> None:
        stored = (await self._parts.store.installations.get(name)).desired
        if stored != self._desired.get(name):
            await self._parts.supervisor.look(name)
            self._desired[name] = stored

    async def _configure(self, name: InstallationId) -> None:
        parts, configs = self._parts, self._parts.configs
        async with configs.changing(name):
            values = {value.key: value for value in await parts.store.config.of(name)}
            if values == configs.run_time(name):
                return
            installation = await parts.store.installations.get(name)
            before = configs.of_or_empty(installation)
            configs.learn(name, values.values())
            parts.remember(installation)
            parts.events.announce(ConfigChanged(name, differing(before, configs.of_or_empty(installation)), BY))
            ready = [each for each in parts.supervisor.living(name) if each.ready]
            await asyncio.gather(*(tell(configs, each) for each in ready))

    async def _rule(self, name: InstallationId) -> None:
        parts, policies = self._parts, self._parts.policies
        async with policies.changing:
            values = await parts.store.policy_values.of(name)
            if {value.key: value for value in values} != {value.key: value for value in policies.people(name)}:
                policies.learn(name, values)
                await parts.orchestrator.reconsider(name)

    async def _removed(self, name: InstallationId) -> None:
        """Its data here is kept, and its uid with it: nobody was asked about them."""
        async with self._parts.configs.changing(name):
            if await self._parts.store.installations.find(name) is not None:
                return
            if self._parts.supervisor.keeper(name) is not None:
                await self._parts.supervisor.gone(name, "it was removed on another host")
                await forget(self._parts, name, BY)
        for known in (self._seen, self._desired, self._epochs):
            known.pop(name, None)

    def _complain(self, error: MoorageError) -> None:
        """Once for each outage."""
        if not self._failing:
            log.error("what other hosts change was not read, and is looked for again: %s", error)
        self._failing = True
