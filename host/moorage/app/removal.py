"""An installation goes: its workers, what it was given, and, as a person decides, its data."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from moorage.app.wiring import Wiring
from moorage.errors import Conflict
from moorage.events.events import Removed
from moorage.models.installation import InstallationId
from moorage.models.storage import DataFate, RemovalReport, StorageUse
from moorage.supervisor.desired import Disable
from moorage.supervisor.errors import ReloadUnderway

#: Writes an action into the audit: what, of which installation, by whom, and a sentence.
Act = Callable[[str, str, str, str], Awaitable[None]]


#: Told of it when it is disabled, which comes first.
REASON = "it is removed"


class DataUndecided(Conflict):
    """Nothing was removed."""

    code = "data_undecided"

    def __init__(self, name: InstallationId, use: StorageUse, snapshots: int) -> None:
        things = f"{use.files:,} {'file or folder' if use.files == 1 else 'files and folders'}"
        copies = f" and {snapshots} {'copy' if snapshots == 1 else 'copies'} of it" if snapshots else ""
        super().__init__(
            f"{name} has data of its own: {use.used_bytes // 2**10:,} KiB, {things}{copies}."
            f" Say what becomes of it: moorage remove {name} --data keep, or --data delete"
        )


class Removal:
    """Used by the host alone."""

    def __init__(self, parts: Wiring, act: Act, ask: Callable[[InstallationId, str, str], Awaitable[None]]) -> None:
        """``ask`` raises where the application refuses that it is disabled: by whom, and why, it is told."""
        self._parts = parts
        self._act = act
        self._ask = ask

    async def remove(self, name: InstallationId, data: DataFate | None, by: str) -> RemovalReport:
        """Raises InstallationUnknown, ReloadUnderway, DataUndecided, StepRefused; nothing has changed then."""
        await self._parts.store.installations.get(name)
        if self._parts.supervisor.reloading(name):
            raise ReloadUnderway(name)
        if data is None and (found := await self._found(name)) is not None:
            raise DataUndecided(name, *found)
        await self._ask(name, by, REASON)
        # Not to be left halfway by whoever waits no longer.
        return await asyncio.shield(self._parts.tasks.start(self._remove(name, data, by), f"remove {name}"))

    async def _found(self, name: InstallationId) -> tuple[StorageUse, int] | None:
        """What it has of data, and how many copies of that; None: neither."""
        use = await self._parts.measure_storage(name)
        snapshots = len(await asyncio.to_thread(self._parts.snapshots.list, name))
        is_empty = await asyncio.to_thread(_is_empty, self._parts.data_of(name))
        return None if is_empty and not snapshots else (use, snapshots)

    async def _remove(self, name: InstallationId, data: DataFate | None, by: str) -> RemovalReport:
        """Killed at any point, the host leaves an installation that is disabled, or none; never its data to another of
        its name that it was not kept for.
        """
        parts = self._parts
        await self._forbid(name, by)
        # What it has made of data since nobody was asked about is kept.
        fate = None if await self._found(name) is None else data or "keep"
        if fate != "keep":
            async with parts.supervisor.at_rest(name, "its data is deleted"):
                await asyncio.to_thread(parts.snapshots.forget, name)
            # Who enabled it meanwhile was too early, or too late.
            await self._forbid(name, by)
        async with parts.configs.changing(name):
            await parts.store.installations.remove(name, release_uid=fate != "keep")
            await forget(parts, name, by)
        await self._act("remove", name, by, f"its data: {fate or 'none'}")
        return RemovalReport(name, fate, _sentence(name, fate))

    async def _forbid(self, name: InstallationId, by: str) -> None:
        await self._parts.supervisor.forbid(name, Disable(REASON), REASON, by=by)


async def forget(parts: Wiring, name: InstallationId, by: str) -> None:
    """It was removed from the store, and nothing of it runs: the rest of the host knows it no more."""
    parts.supervisor.forget(name)
    parts.vault.forget(name)
    parts.configs.forget(name)
    parts.policies.learn(name, ())
    parts.log_levels.forget(name)
    await parts.broker.forget(name)
    parts.logs.forget(name)
    parts.events.announce(Removed(name, by))


def _is_empty(folder: Path) -> bool:
    """What cannot be looked at is not known to be."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _sentence(name: InstallationId, data: DataFate | None) -> str:
    told = {
        None: "it had no data.",
        "delete": "its data is deleted.",
        "keep": "its data is kept, and is there again for an installation of that name.",
    }
    return f"{name} is removed, with its grants, settings and secrets; {told[data]}"
