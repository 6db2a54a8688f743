"""One host for each state folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from moorage.app.folders import make_folder, unusable
from moorage.errors import Conflict


class HostAlreadyRunning(Conflict):
    code = "host_already_running"

    def __init__(self, state_dir: Path, pid: str) -> None:
        super().__init__(
            f"Another host (process {pid or 'unknown'}) uses the state folder {state_dir}. Stop it, or give this one "
            "a folder of its own with state_dir."
        )


class StateLock:
    """Held as long as the host lives; the kernel gives it back however the host ends."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._file: int | None = None

    def __enter__(self) -> Self:
        """Makes the folder. Raises SettingsInvalid, HostAlreadyRunning."""
        make_folder(self._state_dir, "state_dir", 0o700)
        try:
            file = os.open(self._state_dir / "host.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unusable(self._state_dir, "state_dir", error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(file, 20, 0).decode(errors="replace").strip()
            os.close(file)
            raise HostAlreadyRunning(self._state_dir, holder) from None
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
