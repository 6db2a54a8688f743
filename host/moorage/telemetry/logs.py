"""Plugins' log lines on their way to the store and to those who follow them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from moorage.events.subscription import Subscription, Subscriptions
from moorage.models.installation import InstallationId
from moorage.models.log import LogLine
from moorage.telemetry.flusher import Flusher
from moorage.telemetry.lines import CUT_MARK
from moorage.telemetry.masking import Masker, Maskers
from moorage.telemetry.plain import neutralise

#: Of one installation, waiting for the store; more are dropped, and counted. A burst finds room.
WAITING_LINES = 2_000
WAITING_CHARACTERS = 2_000_000

#: Lines of one installation written at one time. With the interval it is the pace that a flood can reach, 2,500 lines a
#: second: the store's thread and the event loop share one interpreter lock.
BATCH = 500

#: More characters at one time are made fit to be shown in a thread: the event loop has other things to do meanwhile.
AT_ONCE_CHARACTERS = 8_000

#: Characters kept of a message or an exception.
TEXT_LIMIT = 16_384

#: Of all the fields of one line together, as they would be printed.
FIELDS_LIMIT = 16_384

#: Stored lines of one installation: when so many new ones were written, the oldest beyond the others are deleted.
LINES_KEPT = 200_000
TRIM_EVERY = 10_000

#: Lines that wait for one slow follower.
FOLLOWER_LINES = 1_000

INTERVAL = timedelta(milliseconds=200)

#: The logger of lines that the host writes into a plugin's log.
HOST_LOGGER = "moorage"


class LogSink(Protocol):
    async def append(self, lines: Sequence[LogLine]) -> Sequence[LogLine]:
        """All or none; returns them with their running numbers, in the same order."""

    async def trim(self, installation: InstallationId, *, keep: int) -> int:
        """Deletes all but the installation's newest lines; returns how many went."""


@dataclass
class _Waiting:
    """A line that is made fit to be shown when its turn comes: that takes time, which its writer decides on."""

    line: LogLine
    #: Of the moment at which it was written: it may be of an installation that is removed before it is stored.
    masker: Masker
    size: int
    is_clean: bool = False

    def clean(self) -> None:
        """From any thread."""
        if not self.is_clean:
            self.line, self.is_clean = _clean(self.line, self.masker), True


@dataclass
class _Queue:
    """What waits of one installation."""

    lines: deque[_Waiting] = field(default_factory=deque)
    characters: int = 0
    dropped: int = 0
    #: Whose lines were dropped last.
    incarnation: str = ""


class Logs:
    """Never blocks and never grows without bound. Lines that find no room are counted, and the log tells how many.

    ``write`` and ``drop`` are called on the event loop's thread.
    """

    def __init__(
        self,
        sink: LogSink,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        interval: timedelta = INTERVAL,
        maskers: Maskers | None = None,
    ) -> None:
        self._sink = sink
        self._now = now
        self._maskers = maskers or Maskers()
        self._flusher = Flusher("logs", self._write, interval)
        self._queues: dict[InstallationId, _Queue] = {}
        self._written: Counter[InstallationId] = Counter()
        self._levels: dict[InstallationId, int] = {}
        self._followers: Subscriptions[LogLine] = Subscriptions(self._missed)

    async def open(self) -> None:
        self._flusher.open()

    async def close(self) -> None:
        """Writes what is there, and ends what follows. May be called twice."""
        await self._flusher.close()
        self._followers.close()

    def write(self, line: LogLine) -> None:
        """Takes one line; it is masked, made harmless and cut before anybody sees it."""
        if line.time.tzinfo is None:
            raise ValueError(f"the time of a log line has no zone: {line.time.isoformat()}")
        if line.level < self._levels.get(line.installation, 0):
            return
        queue = self._queues.setdefault(line.installation, _Queue())
        if len(queue.lines) >= WAITING_LINES or queue.characters >= WAITING_CHARACTERS:
            self.drop(line.installation, line.incarnation, 1)
            return
        waiting = _Waiting(line, self._maskers.of(line.installation), _size(line))
        queue.lines.append(waiting)
        queue.characters += waiting.size

    def room(self, installation: InstallationId) -> int:
        """How many more of its lines would be kept now, if they are short."""
        queue = self._queues.get(installation)
        if queue is None:
            return WAITING_LINES
        return WAITING_LINES - len(queue.lines) if queue.characters < WAITING_CHARACTERS else 0

    def drop(self, installation: InstallationId, incarnation: str, count: int) -> None:
        """Lines that somebody before could not even read; the log tells how many."""
        queue = self._queues.setdefault(installation, _Queue())
        queue.dropped += count
        queue.incarnation = incarnation

    def plain(self, installation: InstallationId, text: str) -> str:
        """A text of the installation's as its log would show it: masked, harmless, bounded."""
        return _text(text, self._maskers.of(installation))

    async def flush(self) -> None:
        """Returns when all lines written before are in the store. Raises what the store raises."""
        await self._flusher.flush()

    def subscribe(
        self, installation: InstallationId | None = None, *, capacity: int = FOLLOWER_LINES
    ) -> Subscription[LogLine]:
        """New lines, of one installation or all, as soon as they are stored. One that does not keep up loses the
        oldest, and gets a line that tells how many."""
        return self._followers.add(capacity, lambda line: installation in (None, line.installation))

    def set_level(self, installation: InstallationId, level: int) -> None:
        """Lines below this numeric level are not taken from now on."""
        self._levels[installation] = level

    def set_secrets(self, installation: InstallationId, secrets: Iterable[str]) -> None:
        """Values to be masked in the installation's lines from now on, in place of those named before."""
        self._maskers.set(installation, secrets)

    def forget(self, installation: InstallationId) -> None:
        """After its removal: level and secrets."""
        self._levels.pop(installation, None)
        self._maskers.forget(installation)

    async def _write(self, everything: bool) -> None:
        """One batch of each installation in turn: none waits for the flood of another."""
        for _ in range(WAITING_LINES // BATCH if everything else 1):
            for installation in list(self._queues):
                await self._write_batch(installation, self._queues[installation])

    async def _write_batch(self, installation: InstallationId, queue: _Queue) -> None:
        waiting = list(itertools.islice(queue.lines, BATCH))
        if sum(each.size for each in waiting) > AT_ONCE_CHARACTERS:
            await asyncio.to_thread(_clean_all, waiting)
        else:
            _clean_all(waiting)
        batch = [each.line for each in waiting]
        dropped = queue.dropped
        told = [self._told(installation, queue.incarnation, dropped)] if dropped else []
        stored = await self._sink.append([*batch, *told])
        # Only now: a batch that the store refused is tried again.
        for _ in batch:
            queue.characters -= queue.lines.popleft().size
        queue.dropped -= dropped
        for line in stored:
            self._followers.offer(line)
        if not queue.lines and not queue.dropped:
            del self._queues[installation]
        await self._trim(installation, len(stored))

    async def _trim(self, installation: InstallationId, written: int) -> None:
        """A plugin that floods its log cannot fill the disk."""
        self._written[installation] += written
        if self._written[installation] >= TRIM_EVERY:
            await self._sink.trim(installation, keep=LINES_KEPT)
            del self._written[installation]

    def _told(self, installation: InstallationId, incarnation: str, count: int) -> LogLine:
        lines = "1 line" if count == 1 else f"{count} lines"
        message = f"{lines} dropped: more came than the host takes from one installation."
        return LogLine(installation, incarnation, self._now(), logging.WARNING, HOST_LOGGER, message)

    def _missed(self, count: int) -> LogLine:
        message = f"{count} lines not shown: this reader did not keep up. They are stored."
        return LogLine("", "", self._now(), logging.WARNING, HOST_LOGGER, message)


def _clean_all(waiting: Iterable[_Waiting]) -> None:
    for each in waiting:
        each.clean()


def _clean(line: LogLine, masker: Masker) -> LogLine:
    return replace(
        line,
        logger=_text(line.logger, masker),
        message=_text(line.message, masker),
        exception=_text(line.exception, masker),
        fields=_fields(line.fields, masker) if line.fields else {},
    )


#: Kinds of values that are kept as they are; the rest is kept as text.
_KEPT = (type(None), bool, int, float, bytes, Decimal, date, time, timedelta, UUID)


def _text(text: str, masker: Masker) -> str:
    """Its beginning, with marks that tell what is gone. What is beyond the cut costs nothing."""
    body = text.removesuffix(CUT_MARK)
    # The capture had to cut bytes before it was known what they are.
    mark = text[len(body) :]
    shown = neutralise(body[:TEXT_LIMIT])
    gone = max(len(body), len(shown)) - TEXT_LIMIT
    if gone <= 0 and not mark:
        return masker.text(shown)
    # An escape sequence may stand inside a secret, and a cut may leave half of it.
    masked = masker.beginning(shown[:TEXT_LIMIT])
    return f"{masked} [{gone} characters cut]{mark}" if gone > 0 else masked + mark


def _fields(fields: Mapping[str, Any], masker: Masker) -> Mapping[str, Any]:
    clean: dict[str, Any] = masker.value(_harmless(fields))
    size = len(repr(clean))
    if size > FIELDS_LIMIT:
        return {"fields": f"{size} characters of fields were too many to keep"}
    return clean


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, Mapping):
        return {neutralise(str(key)): _harmless(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_harmless(item) for item in value]
    return value if isinstance(value, _KEPT) else neutralise(str(value))


def _size(line: LogLine) -> int:
    """Characters that a waiting line takes, roughly."""
    texts = len(line.logger) + len(line.message) + len(line.exception)
    return texts + (len(repr(line.fields)) if line.fields else 0) + 100
