"""A back-up's file: a zip with the rows of each table as JSON lines, and a manifest that says what there must be.

Rows are lists in the order of the manifest's columns; values are those of ``moorage.store.tagged``, so that they are
the same whichever database they come from, and go to.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from moorage.errors import MoorageError
from moorage.store import tagged
from moorage.store.errors import BackupDamaged, BackupForeign, BackupNewer

FORMAT = "moorage-backup"
#: Of the file; the schema of what is in it has a revision of its own.
VERSION = 1

_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 16 * 1024 * 1024
#: Of one row: a log line, or an execution's input and result.
_LARGEST_ROW = 512 * 1024 * 1024

#: What the zip module raises of a member: damaged, not there, encrypted (RuntimeError), of a method that it has not.
_UNREADABLE = (KeyError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


@dataclass(frozen=True)
class TableManifest:
    name: str
    columns: tuple[str, ...]
    rows: int
    #: SHA-256 of the lines, hexadecimal.
    sha256: str


@dataclass(frozen=True)
class BackupManifest:
    #: Of the schema.
    revision: str
    #: Of Moorage.
    version: str
    made_at: datetime
    tables: tuple[TableManifest, ...]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


class ArchiveWriter:
    """Table after table, then the manifest. Only a row at a time is in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._tables: list[TableManifest] = []

    def add(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        digest, count = hashlib.sha256(), 0
        with self._zip.open(_member(name), "w", force_zip64=True) as member:
            for row in rows:
                line = tagged.dumps([_plain(value) for value in row]).encode() + b"\n"
                digest.update(line)
                member.write(line)
                count += 1
        self._tables.append(TableManifest(name, tuple(columns), count, digest.hexdigest()))

    def close(self, revision: str, version: str) -> BackupManifest:
        manifest = BackupManifest(revision, version, datetime.now(UTC), tuple(self._tables))
        told = {
            "format": FORMAT,
            "format_version": VERSION,
            **asdict(manifest),
            "made_at": manifest.made_at.isoformat(),
        }
        self._zip.writestr(_MANIFEST, json.dumps(told, indent=1))
        self._zip.close()
        return manifest


class ArchiveReader:
    """Raises BackupForeign, BackupNewer, BackupDamaged; what it reads is bounded, whoever wrote the file."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._zip = archive
        self._path = path
        self.manifest = self._manifest()

    def check(self) -> None:
        """Reads all of it: each row is there as it was written."""
        for table in self.manifest.tables:
            for _ in self.rows(table):
                pass

    def rows(self, table: TableManifest) -> Iterator[list[Any]]:
        digest, count = hashlib.sha256(), 0
        for line in self._lines(table):
            digest.update(line)
            count += 1
            try:
                row = tagged.loads(line.decode())
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise BackupDamaged(self._path, f"row {count} of {table.name} cannot be read") from error
            if not isinstance(row, list) or len(row) != len(table.columns):
                raise BackupDamaged(self._path, f"row {count} of {table.name} is no row of it")
            yield row
        if count != table.rows or digest.hexdigest() != table.sha256:
            raise BackupDamaged(self._path, f"the rows of {table.name} are not those that were written")

    def _lines(self, table: TableManifest) -> Iterator[bytes]:
        try:
            with self._zip.open(_member(table.name)) as member:
                while line := member.readline(_LARGEST_ROW):
                    yield line
        except _UNREADABLE as error:
            raise BackupDamaged(self._path, f"{table.name} cannot be read") from error

    def _manifest(self) -> BackupManifest:
        try:
            info = self._zip.getinfo(_MANIFEST)
            if info.file_size > _LARGEST_MANIFEST:
                raise BackupForeign(self._path)
            told = json.loads(self._zip.read(info))
            if told["format"] != FORMAT:
                raise BackupForeign(self._path)
            if told["format_version"] > VERSION:
                raise BackupNewer(self._path, f"its form is version {told['format_version']}")
            tables = tuple(
                TableManifest(str(each["name"]), tuple(map(str, each["columns"])), int(each["rows"]), each["sha256"])
                for each in told["tables"]
            )
            made_at = datetime.fromisoformat(told["made_at"])
            return BackupManifest(str(told["revision"]), str(told["version"]), made_at, tables)
        except MoorageError:
            raise
        except Exception as error:
            raise BackupForeign(self._path) from error


@contextmanager
def reading(path: Path) -> Iterator[ArchiveReader]:
    """Raises as ArchiveReader."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError):
            raise BackupDamaged(path, error.strerror or "it cannot be read") from error
        raise BackupForeign(path) from error
    with archive:
        yield ArchiveReader(archive, path)


def _member(table: str) -> str:
    return f"tables/{table}.jsonl"


def _plain(value: Any) -> Any:
    """SQLite has no zones: what is written there is UTC."""
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
