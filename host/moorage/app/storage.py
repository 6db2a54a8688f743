"""Private folders as people look after them: how full, copied, brought back, taken away, deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any, TypeVar

from moorage.app.acts import Act
from moorage.app.wiring import Wiring
from moorage.errors import NotFound
from moorage.models.installation import Installation, InstallationId
from moorage.models.storage import SnapshotView, StorageUse
from moorage.supervisor.archive import archive
from moorage.supervisor.snapshot import Snapshot

Result = TypeVar("Result")


class SnapshotUnknown(NotFound):
    code = "snapshot_unknown"

    def __init__(self, name: InstallationId, snapshot: str) -> None:
        which = f"snapshot {snapshot}" if snapshot else "snapshot"
        super().__init__(f"There is no {which} of {name}. Those that there are: moorage storage {name} snapshots")


class Storage:
    """Implements ``moorage.web.operations.StorageOperations``. What changes the data waits until nothing runs, and what
    comes meanwhile waits for it.
    """

    def __init__(self, parts: Wiring, act: Act) -> None:
        self._parts = parts
        self._act = act

    async def usage(self, name: InstallationId) -> StorageUse:
        """Raises InstallationUnknown."""
        await self._get(name)
        return await self._parts.measure_storage(name)

    async def snapshots(self, name: InstallationId) -> tuple[SnapshotView, ...]:
        """Newest first; those from before reloads among them. Raises InstallationUnknown."""
        await self._get(name)
        return tuple(map(_view, await asyncio.to_thread(self._parts.snapshots.list, name)))

    async def snapshot(self, name: InstallationId, *, by: str = "") -> SnapshotView:
        """Copies the data, and removes the oldest copies where there are too many.

        Raises InstallationUnknown, ReloadUnderway, SnapshotFailed.
        """
        installation = await self._get(name)
        return await self._undisturbed(self._take(installation, by), name)

    async def restore(self, name: InstallationId, snapshot: str = "", *, by: str = "") -> SnapshotView:
        """The data is what it was then; the newest snapshot, if none is named. What was written since is lost.

        Raises InstallationUnknown, SnapshotUnknown, ReloadUnderway, SnapshotFailed.
        """
        await self._get(name)
        found = await asyncio.to_thread(self._parts.snapshots.list, name)
        chosen = next((one for one in found if snapshot in ("", one.folder.name)), None)
        if chosen is None:
            raise SnapshotUnknown(name, snapshot)
        return await self._undisturbed(self._restore(chosen, by), name)

    async def delete(self, name: InstallationId, *, by: str = "") -> None:
        """The data and every copy of it. Raises InstallationUnknown, ReloadUnderway."""
        await self._get(name)
        await self._undisturbed(self._delete(name, by), name)

    async def export(self, name: InstallationId, *, by: str = "") -> AsyncGenerator[bytes, None]:
        """A tar of the data, in chunks, while its workers go on.

        Raises InstallationUnknown, TreeRefused before it returns.
        """
        await self._get(name)
        folder = self._parts.data_of(name)
        await asyncio.to_thread(folder.mkdir, 0o700, parents=True, exist_ok=True)
        chunks = archive(folder, name, self._parts.data_bounds)
        first = await asyncio.to_thread(next, chunks, b"")
        await self._act("export storage", name, by, "")
        return _stream(first, chunks)

    async def _take(self, installation: Installation, by: str) -> SnapshotView:
        snapshots, name = self._parts.snapshots, installation.id
        async with self._parts.supervisor.at_rest(name, "its data is copied"):
            taken = await asyncio.to_thread(snapshots.take, installation)
        await asyncio.to_thread(snapshots.prune, name)
        await self._act("snapshot", name, by, taken.folder.name)
        return _view(taken)

    async def _restore(self, snapshot: Snapshot, by: str) -> SnapshotView:
        name = snapshot.installation
        async with self._parts.supervisor.at_rest(name, "its data is brought back"):
            await asyncio.to_thread(self._parts.snapshots.restore, snapshot)
        await self._act("restore", name, by, snapshot.folder.name)
        return _view(snapshot)

    async def _delete(self, name: InstallationId, by: str) -> None:
        async with self._parts.supervisor.at_rest(name, "its data is deleted"):
            await asyncio.to_thread(self._parts.snapshots.forget, name)
        await self._act("delete storage", name, by, "")

    async def _undisturbed(self, work: Coroutine[Any, Any, Result], name: InstallationId) -> Result:
        """Not to be left halfway by whoever waits no longer."""
        return await asyncio.shield(self._parts.tasks.start(work, f"storage of {name}"))

    async def _get(self, name: InstallationId) -> Installation:
        return await self._parts.store.installations.get(name)


async def _stream(first: bytes, chunks: Generator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        yield first
        while chunk := await asyncio.to_thread(next, chunks, b""):
            yield chunk
    finally:
        # Whoever breaks off while a chunk is read: the thread ends first.
        await asyncio.to_thread(_close, chunks)


def _close(chunks: Generator[bytes]) -> None:
    while True:
        try:
            chunks.close()
        except ValueError:  # it is being read in another thread
            time.sleep(0.01)
        else:
            return


def _view(snapshot: Snapshot) -> SnapshotView:
    return SnapshotView(snapshot.folder.name, snapshot.version, snapshot.taken_at, snapshot.content_bytes)
