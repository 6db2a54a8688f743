"""Copies of installations' private data: taken before a reload in turn, brought back when it fails.

Nothing here waits for anything but the disk: call it in a thread, and only while no worker of the installation lives.

    snapshots/<installation>/<time>/data/       the copy
    snapshots/<installation>/<time>/about.json  of which version, when
    snapshots/<installation>/trial.json         a new version is being tried on the data

A trial that is still noted down when a host starts was interrupted by the death of the host before. Whether the new
version had been taken by then is what the store says; if not, the data is brought back.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from moorage.errors import MoorageError
from moorage.models.installation import Installation, InstallationId
from moorage.supervisor.tree import Bounds, TreeRefused, copy_tree, empty_folder, opened, remove_tree

_TRIAL = "trial.json"
_ABOUT = "about.json"
_DATA = "data"

#: renameat2(2): both names exist before and after, and nobody sees a moment in between.
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


class SnapshotFailed(MoorageError):
    """The data could not be copied, or not be brought back; what was there before is untouched."""

    code = "snapshot_failed"
    http_status = 409

    def __init__(self, installation: InstallationId, problem: str) -> None:
        super().__init__(
            f"The private data of {installation} cannot be copied, and without a copy a reload in turn could not be "
            f"undone. {problem}"
        )
        self.problem = problem


class DataNotDeleted(MoorageError):
    """Some of it, or of its copies, is still there."""

    code = "data_not_deleted"
    http_status = 409

    def __init__(self, installation: InstallationId, problem: str) -> None:
        super().__init__(
            f"The private data of {installation} could not be deleted to the end: {problem}. Look at data/ and"
            " snapshots/ in the state folder of the host, then try again."
        )


@dataclass(frozen=True)
class Snapshot:
    installation: InstallationId
    folder: Path
    version: str
    taken_at: datetime
    content_bytes: int

    @property
    def data(self) -> Path:
        return self.folder / _DATA


class Snapshots:
    """Of all installations of one state folder."""

    def __init__(self, data: Path, folder: Path, bounds: Bounds, kept: int) -> None:
        """``data`` has a folder for each installation; ``kept`` is how many copies of each stay."""
        self._data = data
        self._folder = folder
        self._bounds = bounds
        self._kept = kept

    def take(self, installation: Installation) -> Snapshot:
        """Copies its data as it is now. Raises SnapshotFailed; nothing of the copy is left then."""
        home = self._home(installation.id)
        now = max(datetime.now(UTC), self._after_all(installation.id))
        partial = home / f".{secrets.token_hex(8)}"
        try:
            partial.mkdir(mode=0o700)
            (partial / _DATA).mkdir(mode=0o700)
            copied = 0
            if (self._data / installation.id).is_dir():
                copied = _copy(self._data / installation.id, partial / _DATA, self._bounds)
            snapshot = Snapshot(
                installation.id, home / now.strftime("%Y%m%dT%H%M%S.%fZ"), installation.manifest.version, now, copied
            )
            _write(partial / _ABOUT, {"version": snapshot.version, "taken_at": now.isoformat(), "bytes": copied})
            partial.rename(snapshot.folder)
        except (OSError, TreeRefused) as error:
            _remove(home, partial.name)
            raise SnapshotFailed(installation.id, _sentence(error)) from error
        return snapshot

    def _after_all(self, installation: InstallationId) -> datetime:
        """Later than every copy that there is, also when the clock was set back: they go by their times."""
        newest = max((one.taken_at for one in self.list(installation)), default=datetime.min.replace(tzinfo=UTC))
        return newest + timedelta(microseconds=1)

    def restore(self, snapshot: Snapshot) -> None:
        """The data is as it was then, from one moment to the next. May be repeated.

        Raises SnapshotFailed; the data is then as it was before, unless it lies on a filesystem of its own.
        """
        home, present = self._home(snapshot.installation), self._data / snapshot.installation
        partial = home / f".{secrets.token_hex(8)}"
        try:
            partial.mkdir(mode=0o700)
            _copy(snapshot.data, partial, None)
            present.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _exchange(partial, present):
                with opened(str(present)) as folder:
                    empty_folder(folder)
                _copy(snapshot.data, present, None)
        except (OSError, TreeRefused) as error:
            raise SnapshotFailed(snapshot.installation, _sentence(error)) from error
        finally:
            _remove(home, partial.name)

    def list(self, installation: InstallationId) -> tuple[Snapshot, ...]:
        """Newest first; what is not whole is not one."""
        home, found = self._folder / installation, []
        for folder in sorted(home.iterdir(), reverse=True) if home.is_dir() else ():
            with suppress(OSError, ValueError, KeyError):
                about = json.loads((folder / _ABOUT).read_text())
                taken_at = datetime.fromisoformat(about["taken_at"])
                found.append(Snapshot(installation, folder, about["version"], taken_at, about["bytes"]))
        return tuple(found)

    def prune(self, installation: InstallationId) -> None:
        """Removes all but the newest ones, and what an interrupted host left half done."""
        home = self._folder / installation
        if not home.is_dir():
            return
        keep = {snapshot.folder.name for snapshot in self.list(installation)[: self._kept]} | {_TRIAL}
        for path in tuple(home.iterdir()):
            if path.name not in keep:
                _remove(home, path.name)

    def forget(self, installation: InstallationId) -> None:
        """Removes the data, and every copy of it. May be repeated. Raises DataNotDeleted."""
        try:
            for folder in (self._data, self._folder):
                if (folder / _checked(installation)).is_dir():
                    _remove(folder, installation)
        except OSError as error:
            raise DataNotDeleted(installation, error.strerror or str(error)) from error

    def begin_trial(self, snapshot: Snapshot, target: Installation) -> None:
        """From now on another version may change the data, and is not taken yet."""
        assert target.installed_at is not None, "only what is stored can be told from what is not"
        note = {"snapshot": snapshot.folder.name, "target": target.installed_at.isoformat()}
        _write(self._home(snapshot.installation) / _TRIAL, note)

    def end_trial(self, installation: InstallationId) -> None:
        """The new version is taken, or the data is as before. May be called twice."""
        (self._folder / installation / _TRIAL).unlink(missing_ok=True)

    def recover(self, installation: Installation) -> Snapshot | None:
        """At the start of a host, before any worker: undoes a trial that the death of the host before interrupted.

        ``installation`` is as it is stored. Returns what was brought back. Raises SnapshotFailed.
        """
        trial = self._trial(installation.id)
        if trial is None:
            return None
        snapshot, target = trial
        taken = installation.installed_at is not None and installation.installed_at.isoformat() == target
        if not taken:
            self.restore(snapshot)
        self.end_trial(installation.id)
        self.prune(installation.id)
        return None if taken else snapshot

    def _trial(self, installation: InstallationId) -> tuple[Snapshot, str] | None:
        try:
            note = json.loads((self._folder / installation / _TRIAL).read_text())
        except FileNotFoundError:
            return None
        found = [one for one in self.list(installation) if one.folder.name == note["snapshot"]]
        if not found:
            raise SnapshotFailed(installation, f"The copy {note['snapshot']} that a trial was begun with is gone.")
        return found[0], note["target"]

    def _home(self, installation: InstallationId) -> Path:
        home = self._folder / _checked(installation)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return home


def _checked(installation: InstallationId) -> str:
    if "/" in installation or installation.startswith(".") or not installation:
        raise ValueError(f"{installation!r} is no name of an installation")
    return installation


#: What has been copied once is copied again whatever its size.
_UNBOUNDED = Bounds(2**63, 2**63, 2**10)


def _copy(source: Path, target: Path, bounds: Bounds | None) -> int:
    with opened(str(source)) as original, opened(str(target)) as copy:
        return copy_tree(original, copy, bounds or _UNBOUNDED).content_bytes


def _remove(home: Path, name: str) -> None:
    with opened(str(home)) as folder:
        remove_tree(folder, name)


def _write(path: Path, content: Mapping[str, object]) -> None:
    """Whole or not at all, and on the disk."""
    partial = path.with_name(f".{secrets.token_hex(8)}")
    with partial.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two folders. False: the filesystem cannot, or they lie on two of them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EXDEV, errno.EBUSY, errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number))


def _sentence(error: Exception) -> str:
    """Of the host's paths the plugin's people need none."""
    if isinstance(error, OSError):
        return f"The copy failed: {error.strerror or error}."
    return f"{error} supervision.snapshot_bytes and supervision.snapshot_files in the settings say what is copied."
