"""An installation goes: its workers, what it was given, and, as a person decides, its data."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from moorage.app.wiring import Wiring
from moorage.errors import Conflict
from moorage.events.events import Removed
from moorage.models.installation import InstallationId
from moorage.models.storage import DataFate, RemovalReport, StorageUse
from moorage.supervisor.desired import Disable
from moorage.supervisor.errors import ReloadUnderway

#: Writes an action into the audit: what, of which installation, by whom, and a sentence.
Act = Callable[[str, str, str, str], Awaitable[None]]


class DataUndecided(Conflict):
    """Nothing was removed."""

    code = "data_undecided"

    def __init__(self, name: InstallationId, use: StorageUse, snapshots: int) -> None:
        copies = f" and {snapshots} {'copy' if snapshots == 1 else 'copies'} of it" if snapshots else ""
        super().__init__(
            f"{name} has data of its own: {use.files:,} files and folders, {use.used_bytes / 2**20:,.1f} MiB{copies}."
            f" Say what becomes of it: moorage remove {name} --data keep, or --data delete"
        )


class Removal:
    """Used by the host alone."""

    def __init__(self, parts: Wiring, act: Act) -> None:
        self._parts = parts
        self._act = act

    async def remove(self, name: InstallationId, data: DataFate | None, by: str) -> RemovalReport:
        """Raises InstallationUnknown, ReloadUnderway, DataUndecided; nothing has changed then."""
        await self._parts.store.installations.get(name)
        if self._parts.supervisor.reloading(name):
            raise ReloadUnderway(name)
        has_data = await self._has_data(name, data)
        work = self._remove(name, data if has_data else None, by)
        # Not to be left halfway by whoever waits no longer.
        return await asyncio.shield(self._parts.tasks.start(work, f"remove {name}"))

    async def _has_data(self, name: InstallationId, data: DataFate | None) -> bool:
        use = await self._parts.measure_storage(name)
        snapshots = len(await asyncio.to_thread(self._parts.snapshots.list, name))
        if (use.files or snapshots) and data is None:
            raise DataUndecided(name, use, snapshots)
        return bool(use.files or snapshots)

    async def _remove(self, name: InstallationId, data: DataFate | None, by: str) -> RemovalReport:
        parts = self._parts
        await parts.supervisor.forbid(name, Disable("it is removed"), "it is removed", by=by)
        async with parts.configs.changing(name):
            await parts.store.installations.remove(name)
            parts.supervisor.forget(name)
            parts.vault.forget(name)
            parts.configs.forget(name)
            parts.log_levels.forget(name)
        await parts.broker.forget(name)
        parts.logs.forget(name)
        if data != "keep":
            await asyncio.to_thread(parts.snapshots.forget, name)
            await parts.store.uids.release(name)
        parts.events.announce(Removed(name, by))
        await self._act("remove", name, by, f"its data: {data or 'none'}")
        return RemovalReport(name, data, _sentence(name, data))


def _sentence(name: InstallationId, data: DataFate | None) -> str:
    told = {
        None: "it had no data.",
        "delete": "its data is deleted.",
        "keep": "its data is kept, and is there again for an installation of that name.",
    }
    return f"{name} is removed, with its grants, settings and secrets; {told[data]}"
