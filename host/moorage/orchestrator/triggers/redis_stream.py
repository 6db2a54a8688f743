"""Redis streams: each entry starts an execution, and is acknowledged to the group when that has its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from moorage.broker.services.redis.service import RedisAccess
from moorage.orchestrator.triggers.base import Door, Fate, NotNow, Signal, SourceFailed
from moorage.orchestrator.triggers.crew import Crew, settled
from moorage.orchestrator.triggers.dead_letter import PATIENT, Backoff, insist, reasons
from moorage.orchestrator.triggers.redis_group import ConsumerGroup, Entry, NoGroup, Stream, TooLarge
from moorage_proto.errors import CallError

log = logging.getLogger(__name__)

#: Entries of one answer.
MAX_COUNT = 100

#: Of entries in the door; one may have more.
MAX_BYTES = 32 * 1024 * 1024

#: Between looks for entries of dead consumers, at most.
CLAIM_SECONDS = 10.0

#: So often within ``claim_after`` those that are worked on are marked as such.
SIGNS = 3

#: Before all others.
FIRST = "0"


class StreamSource:
    """Implements ``Source``."""

    def __init__(
        self, stream: Stream, access: Callable[[], RedisAccess], consumer: str, backoff: Backoff = PATIENT
    ) -> None:
        """``access``: of its server; may raise CallError. ``consumer``: this host's name in the group, the same after
        a restart. ``backoff``: of entries that are not taken, and of dead letters that cannot be written.
        """
        self._stream = stream
        self._reach = access
        self._consumer = consumer
        self._backoff = backoff
        #: In the door.
        self._taken: dict[str, Entry] = {}
        self._left = asyncio.Event()
        #: More than a connection reads: they stay where they are.
        self._unreadable: set[str] = set()
        self._count = MAX_COUNT
        #: Set while nothing is taken: an entry was not, and is read again then.
        self._resting: asyncio.Task[None] | None = None
        self._delays: Iterator[float] | None = None

    async def run(self, door: Door) -> None:
        try:
            access = self._reach()
        except CallError as error:
            raise SourceFailed(error.message) from error
        self._door = door
        self._crew = Crew()
        self._group = ConsumerGroup(self._stream, access, self._consumer)
        try:
            await self._group.open()
            await self._group.make(b"$" if self._stream.from_latest else b"0")
            self._crew.start(self._read, f"{self._stream.trigger} reads")
            self._crew.start(self._keep, f"{self._stream.trigger} keeps")
            await self._crew.failed()
        finally:
            await settled(self._close(), f"close {self._stream.trigger}")

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Its own entries first, then those of dead consumers, then new ones; anew when one was left."""
        after: str | None = FIRST
        claims_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            if self._resting is not None:
                await asyncio.wait((self._resting,))
                self._resting, after = None, FIRST
            room = min(await self._room(), self._count)
            try:
                if after is not None:
                    entries = await self._group.own(after, room)
                    after = entries[-1].id if entries else None
                elif loop.time() >= claims_at:
                    entries = await self._group.claim(room)
                    claims_at = loop.time() + (0 if entries else self._claim_seconds)
                else:
                    entries = await self._group.new(room)
            except NoGroup:
                await self._make_again()
                after = FIRST
            except TooLarge:
                after = await self._past_large(after)
            else:
                self._count = min(self._count * 2, MAX_COUNT)
                await self._begin(entries)

    @property
    def _claim_seconds(self) -> float:
        return min(self._stream.claim_after.total_seconds() / 2, CLAIM_SECONDS)

    async def _room(self) -> int:
        while True:
            free = self._door.slots - len(self._taken)
            is_light = not self._taken or sum(each.size_bytes for each in self._taken.values()) < MAX_BYTES
            if free > 0 and is_light:
                return free
            self._left.clear()
            await self._left.wait()

    async def _make_again(self) -> None:
        """From the start of what is there: the server may have lost what it had, and others may have written since.
        What was done before is known by its key.
        """
        log.warning("%s: the group of stream %r is gone, and made again", self._stream.trigger, self._stream.name)
        await self._group.make(b"0")

    async def _past_large(self, after: str | None) -> str:
        """Fewer at a time; one alone that is too large stays pending. The connection is new."""
        await self._group.read_anew()
        if self._count > 1 or after is None:
            self._count = max(1, self._count // 2)
            return FIRST
        too_large = await self._group.next_own(after)
        if too_large and too_large not in self._unreadable:
            self._unreadable.add(too_large)
            log.error(
                "%s: entry %s of stream %r is larger than a host reads, and is left pending; acknowledge it by XACK",
                self._stream.trigger,
                too_large,
                self._stream.name,
            )
        return too_large or FIRST

    async def _keep(self) -> None:
        """Long work keeps its entries: other hosts take over those that nobody has shown a sign for."""
        while True:
            await asyncio.sleep(self._stream.claim_after.total_seconds() / SIGNS)
            if self._taken:
                with contextlib.suppress(NoGroup):
                    await self._group.keep(tuple(self._taken))

    # -- one entry ----------------------------------------------------------------------------------------------------

    async def _begin(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.id in self._taken or self._resting is not None:
                continue
            if entry.fields is None:
                log.info("%s: entry %s was deleted before it ran", self._stream.trigger, entry.id)
                await self._group.acknowledge(entry.id)
                continue
            self._taken[entry.id] = entry
            task = self._crew.start(lambda entry=entry: self._carry(entry), f"{self._stream.trigger} {entry.id}")  # type: ignore[misc]
            if task is not None:
                task.add_done_callback(lambda _, id_=entry.id: self._leave(id_))  # type: ignore[misc]

    def _leave(self, id_: str) -> None:
        del self._taken[id_]
        self._left.set()

    async def _carry(self, entry: Entry) -> None:
        try:
            taken = await self._door.take(signal(self._stream.name, entry))
        except NotNow as reason:
            log.info("%s: %s", self._stream.trigger, reason)
            self._rest()
            return
        self._delays = None
        if taken.fate is Fate.DONE:
            await self._group.acknowledge(entry.id)
            return
        told = (("moorage-stream", self._stream.name), ("moorage-id", entry.id), *reasons(taken.execution))
        what = f"Entry {entry.id} of stream {self._stream.name!r}"
        await insist(lambda: self._group.put_aside(entry, told), what, self._backoff)

    def _rest(self) -> None:
        if self._resting is None:
            self._delays = self._delays or self._backoff.delays()
            delay = next(self._delays)
            self._resting = self._crew.start(lambda: asyncio.sleep(delay), f"{self._stream.trigger} rests")

    async def _close(self) -> None:
        await self._crew.close()
        await self._group.close()


def signal(stream: str, entry: Entry) -> Signal:
    """After a stream was deleted, ids may come again, where producers choose them; so what it holds is a part of what
    an entry is known by. An entry never changes.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in entry.fields or ():
        digest.update(len(part).to_bytes(8, "big") + part)
    where = f"{stream}/{entry.id}"
    return Signal(key=f"{where}#{digest.hexdigest()}", input=record(stream, entry), position=where)


def record(stream: str, entry: Entry) -> dict[str, Any]:
    """The fields of ``moorage_sdk.messages.RedisMessage``. Of a name that comes twice the last value counts."""
    fields = entry.fields or ()
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return {
        "stream": stream,
        "id": entry.id,
        "fields": {name.decode(errors="backslashreplace"): value for name, value in pairs},
    }
