"""Keys in a file of the host's own: a line for each, the one that seals first.

    3f9a61c07b52d418 cHGZ...=

Nobody but the file's owner may have any right to it. It is replaced as a whole, and is on the disk before anything is
sealed with what it says.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from moorage.broker.services.secrets.base import Key
from moorage.errors import ExitCode, MoorageError

KEY_BYTES = 32


class KeyFileUnusable(MoorageError):
    """The host does not start without the keys of its secrets."""

    code = "key_file_unusable"
    exit_code = ExitCode.CONFIG

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"The key file {path} cannot be used: {problem}")


class KeyFile:
    """Implements KeySource. The file is made with the first key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keys(self) -> Sequence[Key]:
        try:
            return self._read()
        except OSError as error:
            raise self._unusable(f"{error.strerror}. Name another one with secrets.key_file.") from error

    def add(self) -> Key:
        key = Key(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES))
        self._write([key, *self.keys()])
        return key

    def keep(self, ids: Collection[str]) -> None:
        self._write([key for key in self.keys() if key.id in ids])

    def _read(self) -> list[Key]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return []
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise self._unusable("it is no file.")
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise self._unusable(f"others may read it. Take that right away: chmod 600 {self._path}")
            return [self._key(line, number) for number, line in enumerate(file, 1) if line.strip()]

    def _key(self, line: bytes, number: int) -> Key:
        try:
            identity, material = line.decode("ascii").split()
            key = Key(identity, base64.b64decode(material, validate=True))
        except ValueError:
            key = Key("", b"")
        if len(key.material) != KEY_BYTES:
            raise self._unusable(f"line {number} is no key. Restore the file from a copy: what it sealed needs it.")
        return key

    def _write(self, keys: Sequence[Key]) -> None:
        lines = "".join(f"{key.id} {base64.b64encode(key.material).decode()}\n" for key in keys)
        partial = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
            _sync(self._path.parent)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise self._unusable(f"a key could not be written: {error.strerror}.") from error

    def _unusable(self, problem: str) -> KeyFileUnusable:
        return KeyFileUnusable(self._path, problem)


def _sync(folder: Path) -> None:
    """Renaming is on the disk when the folder is: fsync(2)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
