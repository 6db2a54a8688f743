"""What a host in memory (``tests/web/memory_host.py``) is given and keeps for its installations."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from moorage.errors import Conflict, Invalid, NotFound
from moorage.models.config import ConfigEntry, ConfigOrder, ConfigOrigin, ConfigView, Heard
from moorage.models.levels import LevelSetting
from moorage.models.secret import SHARED, SecretInfo, SecretOrigin
from moorage.models.storage import DataFate, RemovalReport, SnapshotView, StorageUse
from moorage.models.switch import SwitchState
from moorage.models.views import StopReport

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class MemorySecrets:
    def __init__(self, host: Any) -> None:
        self.host = host
        self.values: dict[tuple[str, str], str] = {}
        self.origins: dict[tuple[str, str], SecretOrigin] = {}
        self.problem = ""
        self.rotations = 0

    async def list(self, installation: str | None = None) -> tuple[SecretInfo, ...]:
        self._check(installation)
        places = sorted(place for place in self.values if installation in (None, place[0]))
        return tuple(self._info(*place) for place in places)

    async def set(self, installation: str, name: str, value: str, *, by: str = "") -> SecretInfo:
        self._check(installation)
        self.values[installation, name] = value
        self.host._record(by, "set secret", installation)
        return self._info(installation, name)

    async def delete(self, installation: str, name: str, *, by: str = "") -> None:
        self._check(installation)
        if self.values.pop((installation, name), None) is None:
            raise NotFound(f"{installation} has no secret {name}.")
        self.host._record(by, "delete secret", installation)

    async def rotate(self, *, by: str = "") -> int:
        self.host._record(by, "rotate secrets", "")
        self.rotations += 1
        return len(self.values)

    def _check(self, installation: str | None) -> None:
        if installation not in (None, SHARED):
            self.host._plugin(installation)

    def _info(self, installation: str, name: str) -> SecretInfo:
        origin = self.origins.get((installation, name), SecretOrigin.OPERATOR)
        return SecretInfo(installation, name, origin, "dana", NOON, self.problem)


class MemorySwitch:
    """SwitchOperations."""

    def __init__(self, host: Any) -> None:
        self.host = host
        self.now = SwitchState()

    async def state(self) -> SwitchState:
        return self.now

    async def off(self, *, reason: str = "", by: str = "") -> tuple[StopReport, ...]:
        self.host._record(by, "switch off", "")
        self.now = SwitchState(False, reason, by, NOON)
        return await self.host.unload_all(by=by)

    async def on(self, *, reason: str = "", by: str = "") -> SwitchState:
        self.host._record(by, "switch on", "")
        self.now = SwitchState(True, reason, by, NOON)
        return self.now


class MemoryConfig:
    def __init__(self, host: Any) -> None:
        self.host = host
        self.values: dict[str, Any] = {"greeting": "hello", "mail.from": "ada@example.com"}
        self.set_now: dict[str, str] = {}
        self.heard: tuple[Heard, ...] = ()
        self.problem = ""

    async def show(self, name: str) -> ConfigView:
        self.host._plugin(name)
        return ConfigView(name, tuple(self._entry(key) for key in sorted(self.values)), problem=self.problem)

    async def change(self, name: str, order: ConfigOrder, *, by: str = "") -> ConfigView:
        self.host._plugin(name)
        for key in order.unset:
            if key not in self.set_now:
                raise Invalid(f"{key} was not set at run time.")
            del self.set_now[key], self.values[key]
        self.values.update(order.set)
        self.set_now.update(dict.fromkeys(order.set, by))
        self.host._record(by, "config", name)
        view = await self.show(name)
        return replace(view, changed=(*order.set, *order.unset), heard=self.heard)

    def _entry(self, key: str) -> ConfigEntry:
        if key in self.set_now:
            return ConfigEntry(key, self.values[key], ConfigOrigin.RUN_TIME, self.set_now[key], NOON)
        origin = ConfigOrigin.SETTINGS if "." in key else ConfigOrigin.DEFAULT
        return ConfigEntry(key, self.values[key], origin)


class MemoryLevels:
    def __init__(self, host: Any) -> None:
        self.host = host
        self.settings: dict[str, LevelSetting] = {}

    async def show(self, name: str) -> tuple[LevelSetting, ...]:
        self.host._plugin(name)
        return tuple(self.settings.values())

    async def set(
        self, name: str, level: int, *, logger: str = "", duration: timedelta | None = None, by: str = ""
    ) -> tuple[LevelSetting, ...]:
        until = None if duration is None else NOON + duration
        self.settings[logger] = LevelSetting(logger, level, until, by, NOON)
        return await self.show(name)

    async def reset(self, name: str, *, logger: str | None = None, by: str = "") -> tuple[LevelSetting, ...]:
        self.settings = {} if logger is None else {key: each for key, each in self.settings.items() if key != logger}
        return await self.show(name)


class MemoryStorage:
    def __init__(self, host: Any) -> None:
        self.host = host
        self.use = StorageUse(3 * 2**20, 64 * 2**20, 12, 10_000)
        self.taken: list[SnapshotView] = []
        self.restored: list[str] = []
        self.content = [b"tar", b"ball"]

    async def usage(self, name: str) -> StorageUse:
        self.host._plugin(name)
        return self.use

    async def snapshots(self, name: str) -> tuple[SnapshotView, ...]:
        self.host._plugin(name)
        return tuple(reversed(self.taken))

    async def snapshot(self, name: str, *, by: str = "") -> SnapshotView:
        self.host._plugin(name)
        self.taken.append(SnapshotView(f"s-{len(self.taken) + 1}", "1.0.0", NOON, self.use.used_bytes))
        self.host._record(by, "snapshot", name)
        return self.taken[-1]

    async def restore(self, name: str, snapshot: str = "", *, by: str = "") -> SnapshotView:
        chosen = next((one for one in reversed(self.taken) if snapshot in ("", one.id)), None)
        if chosen is None:
            raise NotFound(f"There is no snapshot of {name}.")
        self.restored.append(chosen.id)
        self.host._record(by, "restore", name)
        return chosen

    async def delete(self, name: str, *, by: str = "") -> None:
        self.host._plugin(name)
        self.use, self.taken = StorageUse(0, 64 * 2**20, 0, 10_000), []
        self.host._record(by, "delete storage", name)

    async def export(self, name: str, *, by: str = "") -> AsyncGenerator[bytes, None]:
        self.host._plugin(name)
        self.host._record(by, "export storage", name)

        async def chunks() -> AsyncGenerator[bytes, None]:
            for part in self.content:
                yield part

        return chunks()


class DataUndecided(Conflict):
    code = "data_undecided"


async def removed(host: Any, name: str, data: DataFate | None, by: str) -> RemovalReport:
    """Of ``MemoryHost.remove``."""
    host._plugin(name)
    if data is None and host.storage.use.files:
        raise DataUndecided(f"{name} has data of its own.")
    del host.plugins[name]
    host._record(by, "remove", name)
    return RemovalReport(name, data if host.storage.use.files else None, f"{name} is removed.")
