"""Ends a worker from the state folder and its control group alone: the host may hang, be stopped, or lack its store."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

from moorage.errors import Conflict, MoorageError, NotFound
from moorage.supervisor.cgroups import tree_name
from moorage.supervisor.records import Records, RunRecord
from moorage_sandbox import cgroup
from moorage_sandbox.cgroup import Group

#: How long the kernel may take. It takes some milliseconds; a process that waits for a dead disk takes longer.
DEADLINE_SECONDS = 5.0


class NoRecord(NotFound):
    code = "no_run_record"

    def __init__(self, state_dir: Path, name: str, known: tuple[str, ...]) -> None:
        others = f"There is one of: {', '.join(known)}." if known else "There is none of any installation."
        super().__init__(
            f"No worker of {name} runs, by the records in {state_dir / 'run'}. {others} Another host's settings are"
            " named with --config."
        )


class RecordStale(Conflict):
    """What it names is gone."""

    code = "run_record_stale"

    def __init__(self, record: RunRecord) -> None:
        super().__init__(
            f"{record.installation} #{record.number} is gone already: its record names process {record.pid} of an"
            " earlier moment, and no process of that start time lives. Nothing was killed. The host removes the record"
            " when it goes on or starts again."
        )


class NotYours(MoorageError):
    code = "not_yours"

    def __init__(self, record: RunRecord, reason: str) -> None:
        super().__init__(
            f"{record.installation} #{record.number} was not killed: {reason}. Run this as the user of the host, or as"
            " root."
        )


class StillAlive(MoorageError):
    code = "still_alive"

    def __init__(self, record: RunRecord) -> None:
        super().__init__(
            f"{record.installation} #{record.number} got SIGKILL and has not ended within {DEADLINE_SECONDS:g} s: the"
            f" kernel keeps process {record.pid} in a call that cannot be interrupted, such as one to a disk that does"
            " not answer."
        )


@dataclass(frozen=True)
class EndedDirectly:
    record: RunRecord
    #: That were counted before.
    processes: int
    #: "cgroup.kill", "freezer", "signals", or "pidfd" where it had no group.
    method: str

    @property
    def sentence(self) -> str:
        count = "1 process" if self.processes == 1 else f"{self.processes} processes"
        return (
            f"{self.record.installation} #{self.record.number}: killed directly by {self.method}; {count} gone (pid"
            f" {self.record.pid})."
        )


def end_directly(state_dir: Path, name: str, by: str) -> tuple[EndedDirectly, ...]:
    """All workers of an installation. Returns when the kernel says that they are gone.

    Raises NoRecord, RecordStale when none of them lives, NotYours, StillAlive.
    """
    records = Records(state_dir)
    found = records.with_owners(name) if _is_name(name) else ()
    if not found:
        raise NoRecord(state_dir, name, records.installations())
    living = [(record, owner) for record, owner in found if record.alive]
    if not living:
        raise RecordStale(found[-1][0])
    return tuple(_end(records, state_dir, record, owner, by) for record, owner in living)


def _is_name(name: str) -> bool:
    return bool(name) and "/" not in name and not name.startswith(".")


def _end(records: Records, state_dir: Path, record: RunRecord, owner: int, by: str) -> EndedDirectly:
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        raise RecordStale(record) from None
    try:
        # Looked at again with the descriptor in hand: from here on no other process can take its place.
        if not record.alive:
            raise RecordStale(record)
        group = _own_group(state_dir, record)
        _check_owner(record, owner, group)
        count = len(cgroup.processes(group)) if group is not None else 1
        # Written first: when the host sees the end, it finds why.
        records.note_kill(record, by, owner)
        method = _kill(record, group, pidfd)
        if not _gone(group, pidfd):
            raise StillAlive(record)
        return EndedDirectly(record, count, method)
    finally:
        os.close(pidfd)


def _own_group(state_dir: Path, record: RunRecord) -> Group | None:
    """Only a group in this state folder's own tree is touched, whatever a record says."""
    group = record.group
    tail = f"/{tree_name(state_dir)}/i-{record.installation}/{record.number}"
    mounts = cgroup.mounts(cgroup.read("/proc/self/mountinfo"))
    if group is None or not all(_is_ours(folder, tail, mounts) for folder in group.distinct):
        return None
    return group


def _is_ours(folder: str, tail: str, mounts: tuple[str, ...]) -> bool:
    """A folder of ordinary files would let whoever made it choose what is written and who is killed."""
    inside = any(Path(folder).is_relative_to(mount) for mount in mounts)
    return inside and folder.endswith(tail) and os.path.realpath(folder) == folder and Path(folder).is_dir()


def _check_owner(record: RunRecord, owner: int, group: Group | None) -> None:
    """Root does not let another user's file choose whom it kills."""
    if os.geteuid() != 0 or owner == 0:
        return
    folders = () if group is None else group.distinct
    if _uid(record.pid) != owner:
        raise NotYours(record, f"its record belongs to user {owner}, and process {record.pid} does not")
    if any(Path(folder).stat().st_uid != owner for folder in folders):
        raise NotYours(record, f"its record belongs to user {owner}, and its control group does not")


def _uid(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").split("\n")
    return next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))


def _kill(record: RunRecord, group: Group | None, pidfd: int) -> str:
    method = "pidfd"
    try:
        if group is not None:
            cgroup.kill(group)
            method = cgroup.kill_method(group)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise NotYours(record, "this user may not") from None
    return method


def _gone(group: Group | None, pidfd: int) -> bool:
    if group is not None and not cgroup.wait_until_empty(group, DEADLINE_SECONDS):
        return False
    return bool(select.select([pidfd], [], [], DEADLINE_SECONDS)[0])
