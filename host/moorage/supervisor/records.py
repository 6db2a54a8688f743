"""Run records: for each living worker a small file from which it can be ended without its host.

``state_dir/run/<installation>/<number>.json``, owner-only, written before the worker is let go, removed at its end. A
record that a killed host left behind names processes that are gone: a pid alone proves nothing, so the record also has
the boot and the process's start time, which together belong to one process for ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moorage.supervisor.processes import is_over, stat_of
from moorage_sandbox.cgroup import Group

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Beside a record: who ended its worker directly.
_NOTE = ".killed"
#: Of a record; they have some 500.
_MOST_BYTES = 65_536
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class RunRecord:
    installation: str
    number: int
    incarnation: str
    #: Of the boot in which it runs.
    boot_id: str
    pid: int
    #: Clock ticks since the boot, field 22 of /proc/<pid>/stat.
    started: int
    #: Identity of its pid namespace, and its zygote; for people.
    pid_namespace: str
    zygote_pid: int
    #: Its control group's folders; empty: it has none.
    cgroup: dict[str, str]

    @property
    def group(self) -> Group | None:
        return Group(self.cgroup) if self.cgroup else None

    @property
    def alive(self) -> bool:
        """Whether that very process lives. A reused pid has another start time."""
        return self.boot_id == boot_id() and started(self.pid) == self.started


def boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def started(pid: int) -> int | None:
    """Start time of a living process; None: there is none, or only its zombie."""
    found = stat_of(pid)
    return None if found is None or is_over(found) else int(found[19])


def record_of(installation: str, number: int, incarnation: str, pid: int, group: Group | None) -> RunRecord:
    """Of a process that waits to be let go. Raises OSError when it is gone."""
    found = stat_of(pid)
    if found is None:
        raise ProcessLookupError(f"process {pid} is gone")
    return RunRecord(
        installation=installation,
        number=number,
        incarnation=incarnation,
        boot_id=boot_id(),
        pid=pid,
        started=int(found[19]),
        pid_namespace=_pid_namespace(pid),
        zygote_pid=int(found[1]),
        cgroup=dict(group.folders) if group is not None else {},
    )


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115 - the target is no path
    except PermissionError:
        return ""


class Records:
    """The run records of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "run"

    def write(self, record: RunRecord) -> None:
        """Atomic: a reader finds all of it or nothing."""
        path = self._path(record.installation, record.number)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._opened(record.installation) as folder:
            _write_atomically(folder, path.name, asdict(record))

    def remove(self, installation: str, number: int) -> None:
        path = self._path(installation, number)
        path.unlink(missing_ok=True)
        path.with_suffix(_NOTE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()

    def clear(self) -> None:
        """What an earlier host left: its workers ended with it."""
        for folder in self._folder.glob("*/"):
            shutil.rmtree(folder, ignore_errors=True)

    def of(self, installation: str) -> tuple[RunRecord, ...]:
        """Oldest first. Raises OSError where this user may not read them."""
        return tuple(record for record, _ in self.with_owners(installation))

    def with_owners(self, installation: str) -> tuple[tuple[RunRecord, int], ...]:
        """The same with the user whose file each is.

        The folder may be another user's, who lets root read it: no symbolic link is followed, nothing but small
        ordinary files are read, and one that names another place than its own is no record.
        """
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._opened(installation) as folder:
            for name in os.listdir(folder):  # noqa: PTH208 - a descriptor
                read = _read(folder, name) if name.endswith(".json") else None
                if read is not None and (read[0].installation, f"{read[0].number}.json") == (installation, name):
                    found.append(read)
        return tuple(sorted(found, key=lambda each: each[0].number))

    def installations(self) -> tuple[str, ...]:
        """Those with a record."""
        return tuple(sorted(folder.name for folder in self._folder.glob("*/")))

    def note_kill(self, record: RunRecord, by: str, owner: int) -> None:
        """For the host, when it goes on: why this worker ended. ``record`` and ``owner`` are as they were found."""
        with self._opened(record.installation) as folder:
            _write_atomically(folder, f"{record.number}{_NOTE}", {"by": by}, owner)

    def killed_by(self, installation: str, number: int) -> str:
        """Who ended it directly; empty: nobody."""
        try:
            note = json.loads(self._path(installation, number).with_suffix(_NOTE).read_text())
        except (OSError, ValueError):
            return ""
        return str(note.get("by", "")) if isinstance(note, dict) else ""

    def _path(self, installation: str, number: int) -> Path:
        return self._folder / installation / f"{number}.json"

    @contextlib.contextmanager
    def _opened(self, installation: str) -> Iterator[int]:
        """The folder of an installation's records."""
        outer = os.open(self._folder, _FOLDER)
        try:
            inner = os.open(installation, _FOLDER, dir_fd=outer)
        finally:
            os.close(outer)
        try:
            yield inner
        finally:
            os.close(inner)


def _write_atomically(folder: int, name: str, content: dict[str, Any], owner: int | None = None) -> None:
    draft = f".{name}.{secrets.token_hex(8)}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.write(fd, json.dumps(content).encode())
        if owner is not None and os.geteuid() == 0:
            os.fchown(fd, owner, -1)
    finally:
        os.close(fd)
    os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def _read(folder: int, name: str) -> tuple[RunRecord, int] | None:
    """With its owner. None for what was removed meanwhile, or is no record."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except PermissionError:
        raise
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            return None
        record = RunRecord(**json.loads(os.read(fd, _MOST_BYTES)))
    except (ValueError, TypeError):
        return None
    finally:
        os.close(fd)
    return (record, status.st_uid) if _has_right_types(record) else None


def _has_right_types(record: RunRecord) -> bool:
    numbers = (record.number, record.pid, record.started)
    texts = (record.installation, record.incarnation, record.boot_id)
    return (
        all(type(number) is int and number >= 0 for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and isinstance(record.cgroup, dict)
        and all(isinstance(text, str) for pair in record.cgroup.items() for text in pair)
    )
