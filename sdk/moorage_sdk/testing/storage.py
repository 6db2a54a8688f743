"""A private folder for tests: ``moorage.storage.path``, empty at the beginning and gone at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Optional

from moorage_proto import link_pb2, storage_pb2
from moorage_sdk.services.storage import VARIABLE
from moorage_sdk.testing.base import FakeCaller


class FakeStorage:
    name = "storage"
    contract = storage_pb2.DESCRIPTOR.services_by_name["StorageService"]

    def __init__(self) -> None:
        #: What the plugin is told of its limits. Nothing enforces them here.
        self.limit_bytes = 64 * 1024 * 1024
        self.limit_files = 10_000
        self._folder: Optional[Path] = None
        self._before: Optional[str] = None

    @property
    def path(self) -> Path:
        """Made when it is first asked for."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="moorage-data-"))
            self._before = os.environ.get(VARIABLE)
            os.environ[VARIABLE] = str(self._folder)
        return self._folder

    def usage(self, caller: FakeCaller, request: storage_pb2.StorageUsageRequest) -> storage_pb2.StorageUsageReply:  # noqa: ARG002 - it tells of itself alone
        entries = list(self.path.rglob("*"))
        used = sum(entry.lstat().st_blocks * 512 for entry in entries)
        return storage_pb2.StorageUsageReply(
            used_bytes=used, limit_bytes=self.limit_bytes, files=len(entries), limit_files=self.limit_files
        )

    def describe(self, welcome: link_pb2.Welcome) -> None:  # noqa: ARG002 - it is told in the environment, as to a worker
        """Where the folder is, the plugin finds where a worker would."""
        assert self.path

    def close(self) -> None:
        """The folder goes, with all that is in it."""
        folder, self._folder = self._folder, None
        if folder is None:
            return
        if self._before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._before
        shutil.rmtree(folder)
