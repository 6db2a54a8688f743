"""The private folder of this installation: ordinary files, which outlive workers, reloads and the host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple, Union

from moorage_proto import storage_pb2
from moorage_proto.methods import Method, service_methods
from moorage_sdk.channel import Channel
from moorage_sdk.services.base import Ask, Provided

_USAGE: Method[storage_pb2.StorageUsageRequest, storage_pb2.StorageUsageReply] = service_methods(
    storage_pb2, "StorageService"
)["usage"]

#: Where the folder is; the host tells it in the environment.
VARIABLE = "MOORAGE_DATA"


@dataclass(frozen=True)
class Usage:
    """How full the folder was, not longer than a second ago."""

    #: What the content takes of the disk.
    used_bytes: int
    limit_bytes: int
    #: Files and folders.
    files: int
    limit_files: int

    @property
    def free_bytes(self) -> int:
        return max(0, self.limit_bytes - self.used_bytes)


class Storage:
    """``storage.path`` is the folder, and ``storage / "plays.db"`` a path in it.

    Who fills it beyond its limits is ended by the host: look at ``usage()`` before writing much.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.path = Path(os.environ.get(VARIABLE, "/data"))

    def __truediv__(self, name: Union[str, Path]) -> Path:
        return self.path / name

    def __fspath__(self) -> str:
        return str(self.path)

    def usage(self) -> Usage:
        return _usage(self._channel.call(_USAGE, storage_pb2.StorageUsageRequest()))

    async def usage_async(self) -> Usage:
        return _usage(await self._channel.call_async(_USAGE, storage_pb2.StorageUsageRequest()))


class StorageFace:
    """``Optional[Storage]`` is None when no ``storage.use`` was granted."""

    provides: Tuple[str, ...] = ("moorage_sdk.services.storage:Storage",)
    per_scope = False
    capability_verbs: Tuple[str, ...] = ("storage.use",)

    def make(self, ask: Ask) -> Provided:
        return Provided(Storage(ask.channel))


def _usage(reply: storage_pb2.StorageUsageReply) -> Usage:
    return Usage(reply.used_bytes, reply.limit_bytes, reply.files, reply.limit_files)
