"""What one consumer of a stream's group says to the Redis server, and what the answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from moorage.broker.services.redis.line import Command, Line, LineSilent
from moorage.broker.services.redis.service import RedisAccess
from moorage.broker.services.redis.wire import ServerError
from moorage.models.manifest import Trigger
from moorage.models.trigger import TriggerId
from moorage.orchestrator.triggers.base import SourceFailed
from moorage.orchestrator.triggers.dead_letter import SUFFIX, DeadLetterRefused
from moorage.packages.units import parse_duration
from moorage_proto.errors import CallError, Reason

#: Longest wait of the server for a new entry.
BLOCK_SECONDS = 2.0

#: An answer without entries that came sooner than the wait was long: the embedded server does not wait.
PAUSE_SECONDS = 0.05

#: Entries of dead consumers, when the trigger does not say.
CLAIM_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class Stream:
    """What a trigger listens to."""

    trigger: TriggerId
    name: str
    group: str
    dead_letter: str
    #: A group that is new begins with what comes from now on, in place of all that is there.
    from_latest: bool = False
    #: Entries that another consumer has had for so long without a sign are taken over.
    claim_after: timedelta = CLAIM_AFTER

    @classmethod
    def of(cls, id: TriggerId, trigger: Trigger) -> Stream:  # noqa: A002 - it is the trigger's id
        options = trigger.options
        return cls(
            id,
            trigger.source,
            options.get("group", f"moorage.{id.replace('/', '.')}"),
            options.get("dead_letter", f"{trigger.source}:{SUFFIX}"),
            options.get("from") == "latest",
            parse_duration(options["claim_after"]) if "claim_after" in options else CLAIM_AFTER,
        )


@dataclass(frozen=True)
class Entry:
    id: str
    #: Names and values in turn; None: it was deleted.
    fields: tuple[bytes, ...] | None

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.fields or ()))


class NoGroup(Exception):
    """The stream, or its group, is not there any more."""


class TooLarge(Exception):
    """More than a connection reads at a time. The entries are this consumer's."""


class ConsumerGroup:
    """On two connections: one waits for entries, the other one does the rest. Whoever opens it closes it.

    Methods raise SourceFailed where it cannot go on; some raise NoGroup and TooLarge.
    """

    def __init__(self, stream: Stream, access: RedisAccess, consumer: str) -> None:
        self._stream = stream
        self._access = access
        self._label = f"moorage/trigger/{stream.trigger}"
        self._name, self._group, self._consumer = (text.encode() for text in (stream.name, stream.group, consumer))
        self._reading: Line | None = None
        self._acting: Line | None = None
        self._turn = asyncio.Lock()
        self._cursor = b"0-0"

    async def open(self) -> None:
        self._reading = await self._opened()
        self._acting = await self._opened()

    async def read_anew(self) -> None:
        """The connection that reads was closed in the middle of an answer."""
        if self._reading is not None:
            await self._reading.close()
        self._reading = await self._opened()

    async def close(self) -> None:
        """May be called twice."""
        for line in (self._reading, self._acting):
            if line is not None:
                await line.close()
        self._reading = self._acting = None

    async def make(self, start: bytes) -> None:
        """The group, and the stream, where they are not there yet. ``start``: 0, or $ for what comes from now on."""
        (answer,) = await self._act((b"XGROUP", b"CREATE", self._name, self._group, start, b"MKSTREAM"))
        if isinstance(answer, ServerError) and "BUSYGROUP" not in answer.line:
            raise self._refused(answer)

    async def new(self, count: int) -> list[Entry]:
        """Waits a while for entries that nobody was given."""
        began = asyncio.get_running_loop().time()
        wait = (b"BLOCK", _number(BLOCK_SECONDS * 1000))
        entries = await self._read(count, wait, b">", BLOCK_SECONDS)
        if not entries and asyncio.get_running_loop().time() - began < BLOCK_SECONDS / 2:
            await asyncio.sleep(PAUSE_SECONDS)
        return entries

    async def own(self, after: str, count: int) -> list[Entry]:
        """Those that this consumer was given and has not acknowledged."""
        return await self._read(count, (), after.encode(), 0.0)

    async def next_own(self, after: str) -> str:
        """The id of the next one; empty: there is none."""
        (answer,) = await self._act(
            (b"XPENDING", self._name, self._group, b"(" + after.encode(), b"+", b"1", self._consumer)
        )
        return str(self._checked(answer)[0][0].decode()) if self._checked(answer) else ""

    async def claim(self, count: int) -> list[Entry]:
        """Of those that other consumers have had for too long, the next few; they are this one's now."""
        idle = _number(self._stream.claim_after.total_seconds() * 1000)
        (answer,) = await self._act(
            (b"XAUTOCLAIM", self._name, self._group, self._consumer, idle, self._cursor, b"COUNT", _number(count))
        )
        self._cursor, entries, *_ = self._checked(answer)
        return [_entry(each) for each in entries if each is not None]

    async def keep(self, ids: Sequence[str]) -> None:
        """They are worked on: no other consumer is to take them. Their delivery counts stay as they are."""
        (answer,) = await self._act(
            (b"XCLAIM", self._name, self._group, self._consumer, b"0", *(each.encode() for each in ids), b"JUSTID")
        )
        self._checked(answer)

    async def acknowledge(self, id: str) -> None:  # noqa: A002 - Redis' own word
        (answer,) = await self._act((b"XACK", self._name, self._group, id.encode()))
        if isinstance(answer, ServerError):
            raise self._refused(answer)

    async def put_aside(self, entry: Entry, told: Sequence[tuple[str, str]]) -> None:
        """Adds it to the dead letters and acknowledges it: both, or none of it. Raises DeadLetterRefused.

        A transaction of Redis goes on past a command that fails, so what could fail is looked at, and watched.
        """
        target = self._stream.dead_letter.encode()
        fields = (*(entry.fields or ()), *(part.encode() for pair in told for part in pair))
        async with self._turn:
            _, kind = await self._said((b"WATCH", target), (b"TYPE", target))
            if kind not in (b"none", b"stream"):
                await self._said((b"UNWATCH",))
                raise self._unwritable(f"the key holds a {_text(kind)} and is no stream")
            *_, done = await self._said(
                (b"MULTI",),
                (b"XADD", target, b"*", *fields),
                (b"XACK", self._name, self._group, entry.id.encode()),
                (b"EXEC",),
            )
        if done is None:
            raise self._unwritable("another host wrote to it at the same time")
        refused = done if isinstance(done, ServerError) else done[0]
        if isinstance(refused, ServerError):
            raise self._unwritable(refused.code)

    async def _opened(self) -> Line:
        try:
            return await self._access.open()
        except CallError as error:
            raise SourceFailed(error.message) from error

    async def _read(self, count: int, options: Command, start: bytes, wait_seconds: float) -> list[Entry]:
        assert self._reading is not None, "it is open"
        command = (
            *(b"XREADGROUP", b"GROUP", self._group, self._consumer, b"COUNT", _number(count)),
            *(*options, b"STREAMS", self._name, start),
        )
        (answer,) = await self._asked(self._reading, (command,), wait_seconds)
        found = self._checked(answer)
        return [_entry(each) for each in found[0][1]] if found else []

    async def _act(self, *commands: Command) -> list[Any]:
        async with self._turn:
            return await self._said(*commands)

    async def _said(self, *commands: Command) -> list[Any]:
        """In one's turn."""
        assert self._acting is not None, "it is open"
        return await self._asked(self._acting, commands, 0.0)

    async def _asked(self, line: Line, commands: Sequence[Command], wait_seconds: float) -> list[Any]:
        try:
            return await line.run(commands, self._label, self._access.timeout_seconds + wait_seconds)
        except LineSilent as error:
            raise SourceFailed(
                f"The Redis server {self._access.server!r} does not answer. It is tried again; its operator looks why."
            ) from error
        except CallError as error:
            if error.reason == Reason.MESSAGE_TOO_LARGE:
                raise TooLarge from error
            raise SourceFailed(error.message) from error

    def _checked(self, answer: Any) -> Any:
        if not isinstance(answer, ServerError):
            return answer
        # The embedded server words it in its own way; UNBLOCKED is what Redis says to those that wait.
        if answer.code in ("NOGROUP", "UNBLOCKED") or "requires the key to exist" in answer.line:
            raise NoGroup
        raise self._refused(answer)

    def _refused(self, answer: ServerError) -> SourceFailed:
        said = "it is no stream" if answer.code == "WRONGTYPE" else answer.code
        return SourceFailed(
            f"The Redis server {self._access.server!r} refuses the stream {self._stream.name!r}: {said}. Its operator"
            " changes that there, or the trigger."
        )

    def _unwritable(self, problem: str) -> DeadLetterRefused:
        return DeadLetterRefused(
            f"The stream {self._stream.dead_letter!r} of the Redis server {self._access.server!r} cannot be written"
            f" to: {problem}."
        )


def _entry(found: Any) -> Entry:
    id_, fields = found
    return Entry(id_.decode(), None if fields is None else tuple(fields))


def _number(value: float) -> bytes:
    return str(int(value)).encode()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
