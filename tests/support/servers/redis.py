"""Debian's redis-server in a process of its own, on a private port and folder."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

START_SECONDS = 20.0

PASSWORD = "operators-own"

_OPTIONS = ["--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]
#: What was answered has been written down.
_DURABLE = ["--appendonly", "yes", "--appendfsync", "always"]


@dataclass
class RedisServer:
    port: int
    folder: str
    #: Whether what it knows survives ``kill``.
    durable: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """With the operator's password."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is not installed on this machine; scripts/services installs it")
        options = _OPTIONS + (_DURABLE if self.durable else [])
        self._process = subprocess.Popen(
            [program, *options, "--port", str(self.port), "--dir", self.folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"redis-server did not start (exit code {self._process.returncode})")
            time.sleep(0.005)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[redis.Redis]:
        """The operator's, for looking at what is there."""
        client = redis.Redis(port=self.port, password=PASSWORD, protocol=2, **options)
        try:
            yield client
        finally:
            client.close()

    def forget(self) -> None:
        """Removes all keys, and all users that were made."""
        with self.client() as client:
            client.flushall()
            for user in client.acl_users():
                if user != "default":
                    client.acl_deluser(user)

    def clients(self) -> list[dict[str, str]]:
        """Connections but the one that asks."""
        with self.client() as client:
            own = client.client_id()
            return [each for each in client.client_list() if int(each["id"]) != own]

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@contextlib.contextmanager
def redis_server(*, durable: bool = False) -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="moorage-redis-") as folder:
        server = RedisServer(free_port(), folder, durable)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
