"""The host under test, as a process of its own, and the application's database."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from moorage.config.settings import Settings

PLUGIN = Path(__file__).with_name("plugin")
INSTALLATIONS = ("victim", "bystander")
READY_SECONDS = 60.0
REQUEST_SECONDS = 30.0

CONFIG = """
state_dir = "state"
run_dir = "{run}"

[sql.main]
url = "sqlite:///app.db"

# Every kill counts as a crash: nothing may end in quarantine here, nor wait for longer and longer.
[supervision]
restarts = 1000000
backoff_most = 0.2
"""


class World:
    """A folder with settings and database, and the host that lives on it at the moment."""

    def __init__(self, folder: Path, run: Path, config: str = CONFIG) -> None:
        """``config``: the host's settings, with ``{run}`` for the folder of its sockets."""
        self.folder = folder
        self.config = folder / "moorage.toml"
        self.config.write_text(config.format(run=run))
        self.settings = Settings.load(self.config)
        self.database = folder / "app.db"
        connection = sqlite3.connect(self.database)
        connection.executescript(
            "PRAGMA journal_mode=WAL; CREATE TABLE effects (id INTEGER PRIMARY KEY, execution TEXT NOT NULL);"
        )
        connection.close()
        self.host: subprocess.Popen[str] | None = None

    def start_host(self) -> float:
        """Returns when it is ready: after how many seconds."""
        began = time.monotonic()
        log = (self.folder / "host.log").open("a")
        with log:
            self.host = subprocess.Popen(
                [sys.executable, "-m", "moorage", "serve", "--json", "--config", str(self.config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
            )
        assert self.host.stdout is not None
        line = self.host.stdout.readline()
        if not line or not json.loads(line)["ready"]:
            raise SystemExit(f"chaos: the host did not start; its last words:\n{self.last_words()}")
        return time.monotonic() - began

    def kill_host(self) -> None:
        assert self.host is not None
        self.host.kill()
        self.host.wait()

    def stop_host(self, timeout_seconds: float = 60.0) -> int:
        """Asks it to stop, and returns its exit code."""
        assert self.host is not None
        self.host.send_signal(signal.SIGTERM)
        return self.host.wait(timeout_seconds)

    def end(self) -> None:
        """Whatever happened: nothing of it goes on."""
        if self.host is not None and self.host.poll() is None:
            self.kill_host()

    @property
    def pid(self) -> int:
        assert self.host is not None
        return self.host.pid

    def descriptors(self) -> Counter[str]:
        """What the host has open, by kind or path."""
        found: Counter[str] = Counter()
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found[re.sub(r"\[\d+\]", "", str(entry.readlink()))] += 1
        return found

    def last_words(self) -> str:
        return "\n".join((self.folder / "host.log").read_text().splitlines()[-20:])

    def ask(self, method: str, path: str, body: Any = None, timeout_seconds: float = REQUEST_SECONDS) -> Any:
        """One request to the API. Raises OSError or http.client.HTTPException when the host is gone."""
        connection = _UnixConnection(self.settings.api_socket, timeout_seconds)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/api/v1{path}", content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = json.loads(answer.read())
            if answer.status >= http.client.BAD_REQUEST:
                raise Refused(data.get("detail", str(data)))
            return data
        finally:
            connection.close()


class Refused(Exception):
    """The host answered, and said no."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("host", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def is_root() -> bool:
    return os.geteuid() == 0
