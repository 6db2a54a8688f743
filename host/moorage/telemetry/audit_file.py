"""The audit as a file of JSON lines, which other programs ship and keep; each line sealed to the one before it.

A file that is full is put aside as ``audit.jsonl.1``, and what was that before as ``.2``, and so on. A batch is written
whole or not at all, and is on the disk when ``append`` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moorage.errors import Invalid, MoorageError
from moorage.models.audit import GENESIS, AuditEntry, AuditKind, ChainReport, seal

log = logging.getLogger(__name__)

#: How each line begins.
_BEGINNING = b'{"time": '

#: Of a file's end, read to find its last line.
_TAIL_BYTES = 64 * 1024


class NotAnAudit(Invalid):
    code = "not_an_audit"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} cannot be verified: {problem}. Name a file of the audit's JSON lines.")


class FileUnusable(MoorageError):
    """Nothing is written to it: it may be somebody's."""

    code = "audit_file_unusable"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"The audit is not written to {path}: {problem}. Name another file with audit.file.")


class AuditFile:
    """One writer: the host of this state folder."""

    def __init__(self, path: Path, most_bytes: int, kept: int) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._kept = kept
        self._descriptor = -1
        self._digest = GENESIS

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        await asyncio.to_thread(self._append, tuple(entries))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, entries: Sequence[AuditEntry]) -> None:
        self._reopen()
        digest, written = self._digest, []
        for entry in entries:
            previous, digest = digest, seal(digest, entry)
            written.append(_line(entry, previous, digest))
        data = b"".join(written)
        size = os.fstat(self._descriptor).st_size
        if size and size + len(data) > self._most_bytes:
            self._put_aside()
            size = 0
        try:
            _write(self._descriptor, data)
        except OSError:
            # Half a batch would come twice.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise
        self._digest = digest

    def _reopen(self) -> None:
        """Opens it where it is not; also where somebody else has put it aside."""
        if self._descriptor >= 0 and _is_same(self._descriptor, self._path):
            return
        is_first = self._descriptor < 0
        self.close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = _open(self._path)
        if is_first:
            try:
                self._digest = self._last_digest()
            except BaseException:
                self.close()
                raise

    def _last_digest(self) -> str:
        """The chain goes on where the host before left it; what that had not written to its end is cut off."""
        for path in (self._path, _aside(self._path, 1)):
            with contextlib.suppress(FileNotFoundError):
                digest = _last_digest_of(path)
                _mend(self._descriptor, self._path)
                if digest:
                    return digest
        return GENESIS

    def _put_aside(self) -> None:
        self.close()
        for number in range(self._kept, 0, -1):
            older = self._path if number == 1 else _aside(self._path, number - 1)
            with contextlib.suppress(FileNotFoundError):
                older.replace(_aside(self._path, number))
        if not self._kept:
            self._path.unlink()
        self._descriptor = _open(self._path)


def verify_files(paths: Sequence[Path]) -> ChainReport:
    """Follows the chain through files, oldest first. Raises NotAnAudit."""
    digest, entries = "", 0
    for path in paths:
        for number, line in _numbered(path):
            try:
                entry, previous, sealed = _read(line, digest or GENESIS)
            except (ValueError, KeyError, TypeError):
                return ChainReport(entries, digest, number, str(path))
            if (digest and previous != digest) or seal(previous, entry) != sealed:
                return ChainReport(entries, digest, number, str(path))
            digest, entries = sealed, entries + 1
    return ChainReport(entries, digest or GENESIS)


def as_document(entry: AuditEntry) -> dict[str, Any]:
    """As it stands in the file."""
    return {
        "time": entry.time.astimezone(UTC).isoformat(),
        "kind": entry.kind,
        "installation": entry.installation,
        "actor": entry.actor,
        "action": entry.action,
        "capability": entry.capability,
        "message": entry.message,
        "execution": entry.execution,
        "count": entry.count,
    }


def _line(entry: AuditEntry, previous: str, digest: str) -> bytes:
    return json.dumps(as_document(entry) | {"previous": previous, "digest": digest}).encode() + b"\n"


def _read(line: bytes, digest: str) -> tuple[AuditEntry, str, str]:
    """The entry, the digest before it (what an export does not say is the line's before), and its own."""
    found = json.loads(line)
    entry = AuditEntry(
        time=datetime.fromisoformat(found["time"]),
        kind=AuditKind(found["kind"]),
        installation=found["installation"],
        actor=found["actor"],
        action=found["action"],
        capability=found["capability"],
        message=found["message"],
        execution=found["execution"],
        count=found["count"],
    )
    return entry, found.get("previous", digest), found["digest"]


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from enumerate(file, 1)
    except OSError as error:
        raise NotAnAudit(path, (error.strerror or str(error)).lower()) from error


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _open(path: Path) -> int:
    """Of two hosts that write one file neither would have a chain."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise FileUnusable(path, "another host writes to it") from error
    return descriptor


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _mend(descriptor: int, path: Path) -> None:
    """A host that was killed as it wrote leaves the beginning of a line."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        log.warning("%s: %d bytes of an entry that was not written to its end are cut off", path, torn)
        os.ftruncate(descriptor, size - torn)


def _last_digest_of(path: Path) -> str:
    """Of its last whole line; empty: it has none. Raises FileUnusable for a file that is no audit's."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        *whole, torn = file.read().split(b"\n")
    try:
        if whole:
            return str(json.loads(whole[-1])["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileUnusable(path, "its last line is no entry of an audit") from error
    if torn[: len(_BEGINNING)] != _BEGINNING[: len(torn)]:
        raise FileUnusable(path, "it begins with something else than an entry of an audit")
    return ""
