"""Lets go of what happened long ago, or too often: in the background, and when a person says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from moorage.app.acts import Act
from moorage.clock import Clock, sleep
from moorage.config.retention import RetentionSettings
from moorage.errors import MoorageError
from moorage.models.retention import Bounds, History, Retained, RetentionReport
from moorage.store.store import Store

log = logging.getLogger(__name__)

#: Rows of one transaction: some ten milliseconds on a slow disk.
BATCH = 500

#: Between two transactions: others' turn, in this host and in those that share the store.
PAUSE = timedelta(milliseconds=20)


class Retention:
    """Implements ``moorage.web.operations.RetentionOperations``."""

    def __init__(self, store: Store, settings: RetentionSettings, clock: Clock, act: Act, batch: int = BATCH) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._act = act
        self._batch = batch
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """Runs at intervals, until the end of the block."""
        running = asyncio.create_task(self._keep_up(), name="retention")
        try:
            yield
        finally:
            running.cancel()
            await asyncio.wait((running,))

    async def show(self) -> tuple[Retained, ...]:
        """What is kept, and how much there is. Raises StoreFailed."""
        bounds = _bounds(self._settings)
        return tuple([Retained(kind, await self._store.retention.extent(kind), bounds[kind]) for kind in History])

    async def run(self, *, by: str = "") -> RetentionReport:
        """Deletes what is too old or too much, now. Raises StoreFailed; what was deleted until then is gone."""
        async with self._turn:
            deleted: dict[History, int] = dict.fromkeys(History, 0)
            try:
                await self._executions(deleted)
                await self._logs(deleted)
                await self._incarnations(deleted)
                await self._audit(deleted)
            finally:
                report = RetentionReport(deleted)
                if any(deleted.values()):
                    log.info("retention: %s", report.sentence)
                    await self._act("retention", "", by, report.sentence)
            return report

    async def _keep_up(self) -> None:
        while True:
            await sleep(self._clock, self._settings.interval)
            try:
                await self.run()
            except MoorageError as error:
                log.warning("retention: it goes on in %s: %s", self._settings.interval, error)

    async def _executions(self, deleted: dict[History, int]) -> None:
        store, age, each = self._store.retention, self._settings.executions_age, self._settings.executions_each
        if age:
            before = self._clock.now() - age
            await self._repeat(History.EXECUTIONS, deleted, lambda: store.executions_before(before, self._batch))
        if each:
            await self._repeat(History.EXECUTIONS, deleted, lambda: store.executions_beyond(each, self._batch))

    async def _logs(self, deleted: dict[History, int]) -> None:
        store, age, size = self._store.retention, self._settings.logs_age, self._settings.logs_bytes
        if age:
            before, after = self._clock.now() - age, 0
            while True:
                count, after = await store.logs_before(before, after, self._batch)
                deleted[History.LOGS] += count
                # Lines come nearly in the order of their times: after so many young ones there are no old ones.
                if not count or not after:
                    break
                await sleep(self._clock, PAUSE)
        if size and (last := await store.logs_beyond(size)):
            await self._repeat(History.LOGS, deleted, lambda: store.logs_up_to(last, self._batch))

    async def _incarnations(self, deleted: dict[History, int]) -> None:
        if age := self._settings.incarnations_age:
            before, store = self._clock.now() - age, self._store.retention
            await self._repeat(History.INCARNATIONS, deleted, lambda: store.incarnations_before(before, self._batch))

    async def _audit(self, deleted: dict[History, int]) -> None:
        if age := self._settings.audit_age:
            before, store = self._clock.now() - age, self._store.audit
            await self._repeat(History.AUDIT, deleted, lambda: store.prune(before=before, limit=self._batch))

    async def _repeat(self, kind: History, deleted: dict[History, int], work: Callable[[], Awaitable[int]]) -> None:
        while count := await work():
            deleted[kind] += count
            await sleep(self._clock, PAUSE)


def _bounds(settings: RetentionSettings) -> dict[History, Bounds]:
    return {
        History.EXECUTIONS: Bounds(settings.executions_age or None, each=settings.executions_each or None),
        History.LOGS: Bounds(settings.logs_age or None, size=settings.logs_bytes or None),
        History.AUDIT: Bounds(settings.audit_age or None),
        History.INCARNATIONS: Bounds(settings.incarnations_age or None),
    }
