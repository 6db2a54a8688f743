"""The levels of all installations' loggers: kept in memory, stored, and taken back when their time is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

from moorage.errors import MoorageError
from moorage.models.installation import InstallationId
from moorage.models.levels import DEFAULT_LEVEL, LevelSetting, WorkerLevels
from moorage.owned import OwnedTasks
from moorage.store.log_levels import LogLevels as Store

log = logging.getLogger(__name__)


class LogLevels:
    """Between ``open`` and ``close``; on one event loop."""

    def __init__(
        self,
        store: Store,
        tell: Callable[[InstallationId], Awaitable[None]],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``tell`` brings the workers of an installation up to date."""
        self._store = store
        self._tell = tell
        self._now = now
        self._settings: dict[InstallationId, dict[str, LevelSetting]] = {}
        self._timers: dict[tuple[InstallationId, str], asyncio.TimerHandle] = {}
        self._tasks = OwnedTasks()
        #: Whose levels were ever others while this host runs.
        self._touched: set[InstallationId] = set()

    async def open(self) -> None:
        """Of what is over already the store is told too."""
        for name, settings in (await self._store.all()).items():
            self._touched.add(name)
            self._settings[name] = {setting.logger: setting for setting in settings}
            for setting in settings:
                self._watch(name, setting)

    async def look(self, name: InstallationId) -> None:
        """What another host has stored of its levels counts here too."""
        stored = {setting.logger: setting for setting in await self._store.of(name)}
        known = self._settings.get(name, {})
        if stored == known:
            return
        for logger in known:
            self._forget_timer(name, logger)
        self._touched.add(name)
        self._settings[name] = stored
        for setting in stored.values():
            self._watch(name, setting)
        await self._tell(name)

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self._tasks.settled()

    def of(self, name: InstallationId) -> tuple[LevelSetting, ...]:
        """What is set now, by logger."""
        return tuple(setting for _, setting in sorted(self._settings.get(name, {}).items()))

    def for_worker(self, name: InstallationId) -> WorkerLevels:
        settings = self._settings.get(name, {})
        common = settings.get("")
        loggers = {logger: setting.level for logger, setting in settings.items() if logger}
        return WorkerLevels(DEFAULT_LEVEL if common is None else common.level, loggers)

    def touched(self, name: InstallationId) -> bool:
        """Whether a worker may have been told of other levels than those that count now."""
        return name in self._touched

    async def set(self, name: InstallationId, setting: LevelSetting) -> None:
        """Raises InstallationUnknown."""
        await self._store.put(name, setting)
        self._touched.add(name)
        self._settings.setdefault(name, {})[setting.logger] = setting
        self._watch(name, setting)
        await self._tell(name)

    async def reset(self, name: InstallationId, loggers: Iterable[str]) -> None:
        """These have the level again that they have of themselves."""
        for logger in loggers:
            await self._store.delete(name, logger)
            self._settings.get(name, {}).pop(logger, None)
            self._forget_timer(name, logger)
        await self._tell(name)

    def forget(self, name: InstallationId) -> None:
        """It was removed."""
        for logger in self._settings.pop(name, {}):
            self._forget_timer(name, logger)
        self._touched.discard(name)

    def _watch(self, name: InstallationId, setting: LevelSetting) -> None:
        self._forget_timer(name, setting.logger)
        if setting.until is not None:
            delay = max(0.0, (setting.until - self._now()).total_seconds())
            timer = asyncio.get_running_loop().call_later(delay, self._due, name, setting)
            self._timers[name, setting.logger] = timer

    def _forget_timer(self, name: InstallationId, logger: str) -> None:
        timer = self._timers.pop((name, logger), None)
        if timer is not None:
            timer.cancel()

    def _due(self, name: InstallationId, setting: LevelSetting) -> None:
        if setting.until is not None and setting.until > self._now():
            # The clock was set back.
            self._watch(name, setting)
            return
        self._tasks.start(self._end(name, setting), f"log level of {name}")

    async def _end(self, name: InstallationId, setting: LevelSetting) -> None:
        if self._settings.get(name, {}).get(setting.logger) is not setting:
            return
        try:
            await self.reset(name, (setting.logger,))
        except MoorageError as error:
            # In memory it is over; the next host finds it over too.
            self._settings.get(name, {}).pop(setting.logger, None)
            log.warning("%s: the end of a log level was not stored: %s", name, error)
            await self._tell(name)
