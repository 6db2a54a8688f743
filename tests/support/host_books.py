"""What a host holds at one moment, in names that can be compared with those of another moment."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage.app import Host
from moorage.broker.session import BrokerSession

#: Numbers and ids are another worker's each time.
_IDS = re.compile(r"\b(e|i|ev)-[0-9a-z-]+|0x[0-9a-f]+|\b\d+\b|/[0-9a-f]{8,}")

_STORE = re.compile(r"/moorage\.db(-wal|-shm)?$")


@dataclass(frozen=True)
class Books:
    tasks: Counter[str]
    descriptors: Counter[str]

    def beyond(self, earlier: Books) -> list[str]:
        """What was not there then, for a person who wonders why. The store's own pool of connections is the host's: it
        grows with what the host writes, and belongs to no worker.
        """
        more = (self.tasks - earlier.tasks) + (self.descriptors - earlier.descriptors)
        return sorted(name for name in more.elements() if not _STORE.search(name))


def books() -> Books:
    return Books(_tasks(), _descriptors())


def nothing_left(session: BrokerSession) -> bool:
    """Of a worker that is gone: no call, scope, holding or ending goes on in the host."""
    counts = (
        session.in_flight,
        session._link.quota.bytes_in_flight,
        len(session._link.scopes),
        len(session.holdings()),
        len(session._dispatcher.running),
        len(session._endings),
        0 if session._proxy is None else len(session._proxy._clients),
    )
    return not any(counts)


def session_of(host: Host, installation: str) -> BrokerSession:
    (session,) = [each for each in host._parts.broker.sessions.values() if each.installation == installation]
    return session


def _tasks() -> Counter[str]:
    """Of this event loop. Unnamed ones (``Task-7``) by what they run."""
    return Counter(f"task {_named(task)}" for task in asyncio.all_tasks() if not task.done())


def _named(task: asyncio.Task[Any]) -> str:
    if not task.get_name().startswith("Task-"):
        return _IDS.sub("*", task.get_name())
    return getattr(task.get_coro(), "__qualname__", "?")


def _descriptors() -> Counter[str]:
    """By what they lead to: a path, a kind, or the port at the far end of a connection."""
    sockets = _far_ends()
    found: Counter[str] = Counter()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # that of the folder itself
        found[f"descriptor {sockets.get(target, _IDS.sub('*', target))}"] += 1
    return found


def _far_ends() -> dict[str, str]:
    """Of TCP sockets, as the kernel tells of them (proc(5), /proc/net/tcp)."""
    found = {}
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        _, near, far, state, *rest = line.split()
        near_port, far_port = (int(end.partition(":")[2], 16) for end in (near, far))
        listens = state == "0A"
        found[f"socket:[{rest[5]}]"] = f"listening at {near_port}" if listens else f"tcp to {far_port}"
    return found
