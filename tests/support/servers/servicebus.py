"""The AMQP peer in a process of its own: what Azure Service Bus is to a host."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_PROGRAM = """
import asyncio, json, sys
from moorage.broker.services.servicebus.peer import Declared, Limits, Namespace, Peer, Right, SharedKeys
from moorage.broker.services.servicebus.peer.sas import SharedKey

async def main():
    options = json.loads(sys.argv[1])
    keys = SharedKeys({
        name: SharedKey(key, None if rights is None else {Right(r): frozenset(e) for r, e in rights.items()})
        for name, (key, rights) in options["keys"].items()
    })
    namespace = Namespace(Declared(options["queues"], options["topics"]), Limits(**options["limits"]))
    async with Peer(namespace, keys, options["port"]) as peer:
        print(peer.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""

ROOT_KEY = "c2VjcmV0"


@dataclass
class ServiceBusServer:
    """Ends with the test's process, whatever happens: its standard input closes then."""

    queues: list[str] = field(default_factory=list)
    topics: dict[str, list[str]] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    #: By name: the key, and entities by right ("Send", "Listen"); None: all rights.
    keys: dict[str, tuple[str, dict[str, list[str]] | None]] = field(default_factory=lambda: {"root": (ROOT_KEY, None)})
    port: int = 0
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Again on the same port; what the one before knew is forgotten."""
        options = {"queues": self.queues, "topics": self.topics, "limits": self.limits, "keys": self.keys}
        command = [sys.executable, "-c", _PROGRAM, json.dumps({**options, "port": self.port})]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def connection_string(self, key_name: str = "root", *, port: int | None = None) -> str:
        """``port``: of a proxy in front of it."""
        return (
            f"Endpoint=sb://127.0.0.1:{port or self.port};SharedAccessKeyName={key_name};"
            f"SharedAccessKey={self.keys[key_name][0]};UseDevelopmentEmulator=true;"
        )


@contextlib.contextmanager
def servicebus_server(**options: Any) -> Iterator[ServiceBusServer]:
    server = ServiceBusServer(**options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
