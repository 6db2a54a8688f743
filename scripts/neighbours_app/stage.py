"""The host under test, a process of its own, and what the kernel says of it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from floods import FLOODER, FORKER

from moorage.cli.client import ApiClient

HERE = Path(__file__).parent
QUIET = "quiet"
MIB = 1024 * 1024
STOP_SECONDS = 60.0
LOOK_SECONDS = 0.1

CONFIG = """
state_dir = "state"
run_dir = "{run}"

[sql.main]
url = "sqlite:///app.db"

# Many of these floods end their worker, and the next one needs another.
[supervision]
restarts = 1000000
backoff_first = 0.05
backoff_most = 0.05
"""


class Stage:
    """``with Stage(folder, run) as stage:`` is a host with a quiet plugin and one that floods, under two names."""

    def __init__(self, folder: Path, run: Path, options: str = "") -> None:
        self.folder = folder
        self._log = folder / "host.log"
        (folder / "moorage.toml").write_text(CONFIG.format(run=run) + options)
        self._socket = run / "api.sock"
        self._make_database()
        self._host: subprocess.Popen[str] | None = None

    def __enter__(self) -> Stage:
        with self._log.open("a") as log:
            self._host = subprocess.Popen(
                [sys.executable, "-m", "moorage", "--config", "moorage.toml", "serve", "--json"],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            assert self._host.stdout is not None
            if not json.loads(self._host.stdout.readline() or "{}").get("ready"):
                raise SystemExit(f"neighbours: the host did not become ready; its own words:\n{self.last_words()}")
            self._install()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        host, self._host = self._host, None
        if host is None:
            return
        host.terminate()
        try:
            host.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            host.kill()
            host.wait()
        if host.stdout is not None:
            host.stdout.close()

    @property
    def pid(self) -> int:
        assert self._host is not None
        return self._host.pid

    def last_words(self) -> str:
        return "\n".join(self._log.read_text().splitlines()[-20:])

    def api(self) -> ApiClient:
        return ApiClient(self._socket)

    def state_bytes(self) -> int:
        """What store, environments and data take of the disk."""
        found = 0
        for folder, _, names in os.walk(self.folder / "state"):
            for name in names:
                try:
                    found += os.lstat(f"{folder}/{name}").st_blocks * 512
                except FileNotFoundError:
                    continue
        return found

    def make_room(self) -> None:
        """Empties the data folders of those who flood, as an operator would. Nothing of them may run."""
        for name in (FLOODER, FORKER):
            folder = self.folder / "state" / "data" / name
            for entry in folder.iterdir() if folder.is_dir() else ():
                entry.unlink()

    def _install(self) -> None:
        with self.api() as api:
            for name, project in ((QUIET, QUIET), (FLOODER, FLOODER), (FORKER, FLOODER)):
                order: dict[str, Any] = {"path": str(HERE / project), "name": name, "grant_required": True}
                api.post("/installations", order)
            api.post(f"/installations/{FORKER}/grants", {"capabilities": ["sandbox.subprocess"]})
            api.post(f"/installations/{QUIET}/start")

    def _make_database(self) -> None:
        with closing(sqlite3.connect(self.folder / "app.db")) as connection, connection:
            connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
            connection.execute("CREATE TABLE pages (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
            connection.executemany("INSERT INTO users (name) VALUES (?)", [("Ada",), *[("Grace",)] * 99])


@dataclass(frozen=True)
class Footprint:
    """Of one process."""

    memory_bytes: int
    descriptors: int
    threads: int


class Watch:
    """What a process takes, and the most that it took since ``begin``: ``with Watch(pid) as watch:``."""

    def __init__(self, pid: int) -> None:
        self._process = Path("/proc", str(pid))
        self._most = Footprint(0, 0, 0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, name="watch")

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def begin(self) -> None:
        # The kernel's own high-water mark of memory begins anew: proc_pid_clear_refs(5).
        (self._process / "clear_refs").write_text("5")
        self._most = self.now()

    def now(self) -> Footprint:
        status = self._status()
        return Footprint(status["VmRSS"] * 1024, len(os.listdir(self._process / "fd")), status["Threads"])  # noqa: PTH208

    def most(self) -> Footprint:
        return Footprint(self._status()["VmHWM"] * 1024, self._most.descriptors, self._most.threads)

    def _status(self) -> dict[str, int]:
        fields = (line.split() for line in (self._process / "status").read_text().splitlines())
        return {each[0].rstrip(":"): int(each[1]) for each in fields if len(each) > 1 and each[1].isdigit()}

    def _look_again_and_again(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                now = self.now()
            except (OSError, KeyError):
                return  # the process is gone
            most = self._most
            self._most = Footprint(0, max(most.descriptors, now.descriptors), max(most.threads, now.threads))
