"""A shelf of folders, each named by a key that says what it was made from. Made once, whole, and never changed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from moorage.environments.removal import remove_tree

#: Its presence says that the folder is whole; it holds what its maker wants to remember.
MARKER = "complete.json"

_BUILD_PREFIX = ".build-"
_POLL_SECONDS = 0.05

Facts = Mapping[str, str]


class Shelf:
    """Several hosts, and several tasks of one, may use a shelf at the same time."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, key: str) -> Path | None:
        """The folder of a key, if it is whole."""
        folder = self._root / key
        return folder if (folder / MARKER).is_file() else None

    def facts(self, key: str) -> Facts:
        """What was remembered about a whole folder."""
        facts: Facts = json.loads((self._root / key / MARKER).read_text())
        return facts

    async def make(self, key: str, fill: Callable[[Path], Awaitable[Facts]]) -> Path:
        """The folder of a key. Where there is none, ``fill`` makes it: beside its place, then it is moved there.

        A failed or cancelled filling leaves nothing; a killed one leaves what the next one, or ``collect``, removes.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        final = self._root / key
        async with self._locked(key):
            if self.find(key) is not None:
                return final
            self._remove(key)
            temporary = Path(tempfile.mkdtemp(prefix=f"{_BUILD_PREFIX}{key}-", dir=self._root))
            try:
                facts = await fill(temporary)
                _complete(temporary, facts, final)
            finally:
                remove_tree(temporary)
        return final

    def collect(self, keep: set[str]) -> tuple[str, ...]:
        """Removes every folder whose key is not kept, and the leavings of killed makers; says which keys went.

        What someone is making just now stays.
        """
        if not self._root.is_dir():
            return ()
        removed = []
        for key in sorted(self._keys()):
            with _try_lock(self._lock_path(key)) as locked:
                if locked and key in keep:
                    self._remove_builds(key)
                elif locked:
                    self._remove(key)
                    removed.append(key)
        return tuple(removed)

    def _keys(self) -> set[str]:
        names = {entry.name for entry in self._root.iterdir() if entry.is_dir() and entry.name != _LOCKS}
        return {name.removeprefix(_BUILD_PREFIX).partition("-")[0] for name in names}

    def _remove(self, key: str) -> None:
        self._remove_builds(key)
        folder = self._root / key
        # The marker first: a removal that is interrupted must not leave half a folder that looks whole.
        (folder / MARKER).unlink(missing_ok=True)
        remove_tree(folder)

    def _remove_builds(self, key: str) -> None:
        for build in self._root.glob(f"{_BUILD_PREFIX}{key}-*"):
            remove_tree(build)

    def _lock_path(self, key: str) -> Path:
        locks = self._root / _LOCKS
        locks.mkdir(exist_ok=True)
        return locks / key

    @contextlib.asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[None]:
        # Asked for again and again: a thread that waits in flock could not be cancelled.
        while True:
            with _try_lock(self._lock_path(key)) as locked:
                if locked:
                    yield
                    return
            await asyncio.sleep(_POLL_SECONDS)


_LOCKS = ".locks"


@contextlib.contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    """Held until the end of the block or of this process, whichever comes first. The file stays: removing it would
    let two holders lock two files of one name."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _complete(folder: Path, facts: Facts, final: Path) -> None:
    folder.chmod(0o755)  # mkdtemp's are closed to others
    with (folder / MARKER).open("x") as stream:
        json.dump(dict(facts), stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    folder.rename(final)
