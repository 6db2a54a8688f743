"""PostgreSQL of the Debian package, in a folder and on a port of its own; it forgets all when it ends."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from servers.kafka import free_port

START_SECONDS = 20.0
STOP_SECONDS = 10.0
PASSWORD = "of-the-superuser"

#: Nothing has to survive a power cut here. Statements of tests may be many at a time.
_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}


@dataclass
class PostgresServer:
    port: int
    folder: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, user: str = "postgres", password: str = PASSWORD, database: str = "postgres", port: int = 0) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def make(self) -> None:
        """The cluster's files."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        subprocess.run(
            [
                _program("initdb"),
                *("--pgdata", str(self._data), "--username", "postgres", "--pwfile", str(secret)),
                *("--auth", "scram-sha-256", "--no-sync", "--encoding", "UTF8", "--locale", "C.UTF-8"),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            **_account(),
        )

    def start(self) -> None:
        """Also after ``kill``: what was committed is there."""
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [_program("postgres"), "-D", str(self._data), "-p", str(self.port), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **_account(),
        )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL did not start (exit code {self._process.returncode})")
            time.sleep(0.01)

    def kill(self) -> None:
        """At once: connections break, and the next start recovers."""
        if self._process is not None:
            # "Immediate shutdown": its children end at once, too, and no shared memory stays behind.
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(STOP_SECONDS)
            self._process = None

    def run(
        self, *statements: str, database: str = "postgres", user: str = "postgres", password: str = PASSWORD
    ) -> Any:
        """Each by itself; the rows of the last one."""
        with psycopg.connect(self.url(user, password, database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[arg-type]  # the tests' own text
            return cursor.fetchall() if cursor.description else None

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="moorage-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = PostgresServer(free_port(), folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder)


def _program(name: str) -> str:
    found = shutil.which(name) or max(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default="")
    if not found:
        raise RuntimeError(f"PostgreSQL's {name} is not installed; scripts/services installs it, as root")
    return found


def _account() -> dict[str, Any]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
