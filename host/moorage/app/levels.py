"""Levels of plugins' loggers, as people change them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from moorage.app.acts import Act
from moorage.app.wiring import Wiring
from moorage.errors import Invalid
from moorage.models.installation import InstallationId
from moorage.models.levels import LevelSetting, level_name

#: Single loggers of one installation that have a level: each worker is told of all of them.
MAX_LOGGERS = 100

MAX_LEVEL = 100
LONGEST = timedelta(days=30)


class LevelInvalid(Invalid):
    code = "level_invalid"


class Levels:
    """Implements ``moorage.web.operations.LevelOperations``."""

    def __init__(self, parts: Wiring, act: Act) -> None:
        self._parts = parts
        self._act = act

    async def show(self, name: InstallationId) -> tuple[LevelSetting, ...]:
        """What was set, by logger. Raises InstallationUnknown."""
        await self._parts.store.installations.get(name)
        return self._parts.log_levels.of(name)

    async def set(
        self,
        name: InstallationId,
        level: int,
        *,
        logger: str = "",
        duration: timedelta | None = None,
        by: str = "",
    ) -> tuple[LevelSetting, ...]:
        """Of one logger and those below it, or of all that have none of their own. Returns what ``show`` does.

        Raises InstallationUnknown, LevelInvalid.
        """
        await self._parts.store.installations.get(name)
        self._check(name, level, logger, duration)
        now = datetime.now(UTC)
        setting = LevelSetting(logger, level, None if duration is None else now + duration, by or "someone", now)
        await self._parts.log_levels.set(name, setting)
        what = f"{logger or 'all loggers'}: {level_name(level)}{f' for {duration}' if duration else ''}"
        await self._act("log level", name, by, what)
        return self._parts.log_levels.of(name)

    async def reset(self, name: InstallationId, *, logger: str | None = None, by: str = "") -> tuple[LevelSetting, ...]:
        """Takes one back, or all. Raises InstallationUnknown."""
        present = [setting.logger for setting in await self.show(name)]
        await self._parts.log_levels.reset(name, present if logger is None else [logger])
        await self._act("log level", name, by, f"{'all' if logger is None else logger or 'all loggers'}: as before")
        return self._parts.log_levels.of(name)

    def _check(self, name: InstallationId, level: int, logger: str, duration: timedelta | None) -> None:
        if not 1 <= level <= MAX_LEVEL:
            raise LevelInvalid(f"{level} is no level: those of Python's logging are 10 (DEBUG) to 50 (CRITICAL).")
        if len(logger) > 1000 or logger != logger.strip():
            raise LevelInvalid(f"{logger!a:.100} is no logger's name.")
        if duration is not None and not timedelta(0) < duration <= LONGEST:
            raise LevelInvalid("A level is set for more than no time, and for 30 days at most; or for good.")
        single = {setting.logger for setting in self._parts.log_levels.of(name)} | {logger}
        if len(single - {""}) > MAX_LOGGERS:
            raise LevelInvalid(f"{name} has levels for {MAX_LOGGERS} loggers already; take some back first.")
