"""Storage: how full the caller's own folder is. The folder itself is the sandbox's: plugins use it as any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from moorage.broker.services.base import Caller
from moorage.models.installation import InstallationId
from moorage.models.storage import StorageUse
from moorage_proto import storage_pb2

#: Looking takes some microseconds for each file: whoever asks again sooner is told what was seen.
FRESH_SECONDS = 1.0

Measure = Callable[[InstallationId], Coroutine[Any, Any, StorageUse]]


@dataclass
class _Look:
    at: float
    seen: asyncio.Task[StorageUse]


class StorageService:
    contract = storage_pb2.DESCRIPTOR.services_by_name["StorageService"]

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._looks: dict[InstallationId, _Look] = {}

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        for look in self._looks.values():
            look.seen.cancel()
        await asyncio.gather(*(look.seen for look in self._looks.values()), return_exceptions=True)
        self._looks.clear()

    async def usage(self, caller: Caller, request: storage_pb2.StorageUsageRequest) -> storage_pb2.StorageUsageReply:  # noqa: ARG002 - there is nothing to ask for in particular
        use = await asyncio.shield(self._look(caller.installation).seen)
        return storage_pb2.StorageUsageReply(
            used_bytes=use.used_bytes, limit_bytes=use.limit_bytes, files=use.files, limit_files=use.limit_files
        )

    def _look(self, installation: InstallationId) -> _Look:
        """One at a time for each installation, however many ask."""
        now = asyncio.get_running_loop().time()
        look = self._looks.get(installation)
        if look is None or (look.seen.done() and now - look.at > FRESH_SECONDS):
            seen = asyncio.create_task(self._measure(installation), name=f"{installation} storage")
            look = self._looks[installation] = _Look(now, seen)
        return look
