"""Run records: for each living worker a small file from which it can be ended without its host.

``state_dir/run/<installation>/<number>.json``, owner-only, written before the worker is let go, removed at its end. A
record that a killed host left behind names processes that are gone: a pid alone proves nothing, so the record also has
the boot and the process's start time, which together belong to one process for ever.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moorage_sandbox.cgroup import Group

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Beside a record: who ended its worker directly.
_NOTE = ".killed"


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
    found = _stat(pid)
    return None if found is None or found[0] in "ZX" else int(found[19])


def _stat(pid: int) -> list[str] | None:
    """Fields from the third (state) on. The second is the program's name in brackets, which may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def record_of(installation: str, number: int, incarnation: str, pid: int, group: Group | None) -> RunRecord:
    """Of a process that waits to be let go. Raises OSError when it is gone."""
    found = _stat(pid)
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
        _write_atomically(path, asdict(record))

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
        folder = self._folder / installation
        names = sorted(os.listdir(folder), key=len) if folder.is_dir() else []  # noqa: PTH208 - an error, not nothing
        found = (_read(folder / name) for name in names if name.endswith(".json"))
        return tuple(sorted((record for record in found if record is not None), key=lambda record: record.number))

    def installations(self) -> tuple[str, ...]:
        """Those with a record."""
        return tuple(sorted(folder.name for folder in self._folder.glob("*/")))

    def owner(self, record: RunRecord) -> int:
        """The user whose file it is. Raises OSError."""
        return self._path(record.installation, record.number).stat().st_uid

    def note_kill(self, record: RunRecord, by: str) -> None:
        """For the host, when it goes on: why this worker ended."""
        _write_atomically(self._path(record.installation, record.number).with_suffix(_NOTE), {"by": by})

    def killed_by(self, installation: str, number: int) -> str:
        """Who ended it directly; empty: nobody."""
        try:
            note = json.loads(self._path(installation, number).with_suffix(_NOTE).read_text())
        except (OSError, ValueError):
            return ""
        return str(note.get("by", "")) if isinstance(note, dict) else ""

    def _path(self, installation: str, number: int) -> Path:
        return self._folder / installation / f"{number}.json"


def _write_atomically(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(content).encode())
    finally:
        os.close(fd)
    draft.replace(path)


def _read(path: Path) -> RunRecord | None:
    """None for what was removed meanwhile, or is no record."""
    try:
        return RunRecord(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
