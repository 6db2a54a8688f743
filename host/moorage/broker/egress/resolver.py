"""From a host's name to addresses that may be connected to, once: what was checked is what is reached.

Whoever connects uses the addresses that come back and never the name again, so that a name that answers differently
the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from moorage.broker.egress.reach import Reach, parse_address, reach_of
from moorage.owned import OwnedTasks
from moorage_proto import hostname
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: From a name to its addresses as text. Raises OSError when it has none.
LookUp = Callable[[str], Awaitable[Sequence[str]]]

#: Addresses of one name that are looked at; one that has more is no host of honest people.
MAX_ADDRESSES = 64

#: Of one plugin, at the same time; each takes a thread.
MAX_LOOK_UPS_EACH = 4

#: Looking up blocks a thread for as long as the machine's resolver waits; other work of the host has its own.
_THREADS = ThreadPoolExecutor(32, "resolve")


@dataclass(frozen=True, slots=True)
class Address:
    """Checked, and to be connected to as it is."""

    ip: str
    port: int
    reach: Reach


class HostRefused(CallError):
    """The host is, or resolves to, an address that is not for plugins. Never tells the address."""

    def __init__(self, host: str, reach: Reach, *, resolved: bool) -> None:
        self.host = host
        self.reach = reach
        what = "its address is" if resolved else "it is"
        sentence = f"The host {host} is not reached for plugins: {what} {reach.value}."
        if reach.can_be_granted:
            sentence += f" An operator may allow it by name, with the capability net.private:{host}."
        super().__init__(Status.PERMISSION_DENIED, Reason.CAPABILITY_MISSING, sentence)


class HostUnknown(CallError):
    """The name has no address."""

    def __init__(self, host: str) -> None:
        sentence = f"The host {host} has no address; check how it is spelled, and the name servers of this machine."
        super().__init__(Status.UNAVAILABLE, Reason.BACKEND_UNAVAILABLE, sentence, retryable=True)


async def system_look_up(host: str) -> Sequence[str]:
    """By the machine's resolver."""
    found = await asyncio.get_running_loop().run_in_executor(
        _THREADS, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    )
    return [str(entry[4][0]) for entry in found]


class BoundedLookUp:
    """Of one plugin: so many names at a time, each until its thread is free again, whoever waits for it or not.

    Its names may be served by a name server of its own that never answers.
    """

    def __init__(self, look_up: LookUp, most: int = MAX_LOOK_UPS_EACH) -> None:
        self._look_up = look_up
        self._turns = asyncio.Semaphore(most)
        self._going_on = OwnedTasks()

    async def __call__(self, host: str) -> Sequence[str]:
        await self._turns.acquire()
        looking = self._going_on.start(self._looked_up(host), f"look up {host}")
        looking.add_done_callback(self._done)
        return await asyncio.shield(looking)

    async def _looked_up(self, host: str) -> Sequence[str]:
        return await self._look_up(host)

    def _done(self, looking: asyncio.Task[Sequence[str]]) -> None:
        self._turns.release()
        # Nobody may be waiting for it.
        if not looking.cancelled():
            looking.exception()


async def resolve(host: str, port: int, *, allow_private: bool, look_up: LookUp = system_look_up) -> list[Address]:
    """The addresses of a host, each checked, in the resolver's order. Never empty.

    ``host`` is canonical (``moorage_proto.hostname``). ``allow_private``: an operator has granted this host by name,
    so private networks and the host's own machine are let through; what is no place for anybody never is. One bad
    address refuses the name: it may not be a matter of chance which one is taken.

    Raises HostRefused or HostUnknown. Bound it: looking up takes as long as the machine's resolver waits.
    """
    literal = hostname.address(host)
    texts = [host] if literal is not None else await _looked_up(host, look_up)
    found: list[Address] = []
    for text in dict.fromkeys(texts):
        reach = _reach(text)
        if reach is not Reach.PUBLIC and not (allow_private and reach.can_be_granted):
            log.info("refused to connect to %s for a plugin: %s is %s", host, text, reach.value)
            raise HostRefused(host, reach, resolved=literal is None)
        found.append(Address(text, port, reach))
    return found


async def _looked_up(host: str, look_up: LookUp) -> Sequence[str]:
    try:
        texts = await look_up(host)
    except (OSError, UnicodeError):
        raise HostUnknown(host) from None
    if not texts:
        raise HostUnknown(host)
    if len(texts) > MAX_ADDRESSES:
        raise HostRefused(host, Reach.RESERVED, resolved=True)
    return texts


def _reach(text: str) -> Reach:
    try:
        return reach_of(parse_address(text))
    except ValueError:
        return Reach.RESERVED
