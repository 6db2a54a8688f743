"""What a worker writes to its standard output and error, from the first byte.

The pipes are ordinary ones, so that whatever writes is caught: print, C libraries, child processes, the interpreter as
it dies. They are read at a bounded pace: a plugin that floods them waits for its own pipe, and the host does not work
more for it than for others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from moorage.models.installation import InstallationId
from moorage.models.log import LogLine
from moorage.telemetry.lines import LineSplitter, text
from moorage.telemetry.logs import HOST_LOGGER, Logs

#: Lines kept for the verdict of a worker that dies, and their bytes.
TAIL_LINES = 200
TAIL_BYTES = 65_536

#: Read at one time, and how much of that in one window: 2.5 MB/s and 4,000 lines/s for each worker. A chunk may be all
#: line ends: a larger one would hold up the event loop.
CHUNK_BYTES = 8_192
WINDOW = timedelta(milliseconds=50)
WINDOW_CHUNKS = 16
WINDOW_LINES = 200

#: Read at most after the worker's end; a full pipe holds less.
REST_BYTES = 1_048_576


class OutputCapture:
    """The two pipes of one worker. Nothing here ever blocks, and nothing grows with what the worker writes."""

    def __init__(
        self,
        installation: InstallationId,
        incarnation: str,
        logs: Logs,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._installation = installation
        self._incarnation = incarnation
        self._logs = logs
        self._now = now
        self._tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self._tail_bytes = 0
        self._pipes: tuple[_Pipe, ...] = ()
        self._cut: Callable[[list[bytes]], list[bytes]] = list
        self._writers: tuple[int, ...] = ()

    async def open(self) -> tuple[int, int]:
        """Makes the pipes and begins to read; returns the writing ends for the worker's 1 and 2."""
        stdout_reader, stdout = os.pipe2(os.O_CLOEXEC)
        stderr_reader, stderr = os.pipe2(os.O_CLOEXEC)
        self._writers = (stdout, stderr)
        self._pipes = (
            _Pipe(stdout_reader, lambda lines: self._take("stdout", logging.INFO, lines)),
            _Pipe(stderr_reader, lambda lines: self._take("stderr", logging.WARNING, self._cut(lines))),
        )
        return self._writers

    def divert(self, cut: Callable[[list[bytes]], list[bytes]]) -> None:
        """Lines of standard error pass through ``cut`` first: what it keeps is neither log nor last words."""
        self._cut = cut

    def release_writers(self) -> None:
        """The worker has its ends; as long as the host held them too, the end of output could not be seen."""
        writers, self._writers = self._writers, ()
        for descriptor in writers:
            os.close(descriptor)

    def note(self, sentence: str) -> None:
        """A line of the host's about this worker, among the worker's own."""
        self._logs.write(
            LogLine(self._installation, self._incarnation, self._now(), logging.WARNING, "sandbox", sentence)
        )

    async def close(self) -> None:
        """After the worker's end: takes what is left in the pipes. May be called twice."""
        self.release_writers()
        for pipe in self._pipes:
            pipe.close()

    async def ended(self) -> None:
        """Returns when all that held the writing ends are gone and everything was read."""
        for pipe in self._pipes:
            await pipe.ended.wait()

    def tail(self, count: int) -> tuple[str, ...]:
        """The last lines of both, oldest first; unfinished ones too, and those that the log had no room for."""
        unfinished = [pipe.partial for pipe in self._pipes if pipe.partial]
        newest = [*self._tail, *unfinished][-count:] if count > 0 else []
        return tuple(self.plain(text(line)) for line in newest)

    def plain(self, text: str) -> str:
        """A text of the worker's as its log would show it."""
        return self._logs.plain(self._installation, text)

    def tell(self, level: int, message: str) -> None:
        """A line of the host's own in the plugin's log."""
        self._logs.write(LogLine(self._installation, self._incarnation, self._now(), level, HOST_LOGGER, message))

    def _take(self, logger: str, level: int, lines: list[bytes]) -> None:
        self._remember(lines[-TAIL_LINES:])
        kept = lines[:WINDOW_LINES]
        now = self._now()
        for line in kept:
            self._logs.write(LogLine(self._installation, self._incarnation, now, level, logger, text(line)))
        if len(lines) > len(kept):
            self._logs.drop(self._installation, self._incarnation, len(lines) - len(kept))

    def _remember(self, lines: list[bytes]) -> None:
        for line in lines:
            if len(self._tail) == TAIL_LINES:
                self._tail_bytes -= len(self._tail[0])
            self._tail.append(line)
            self._tail_bytes += len(line)
        while self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())


class _Pipe:
    """The host's end of one pipe."""

    def __init__(self, descriptor: int, take: Callable[[list[bytes]], None]) -> None:
        self._descriptor = descriptor
        self._take = take
        self._splitter = LineSplitter()
        self._loop = asyncio.get_running_loop()
        self._chunks = 0
        self._lines = 0
        self._window: asyncio.TimerHandle | None = None
        self.ended = asyncio.Event()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    @property
    def partial(self) -> bytes:
        return self._splitter.partial

    def close(self) -> None:
        """Takes what is left at once. May be called twice."""
        if self._descriptor < 0:
            return
        if not self.ended.is_set():
            self._read_rest()
            self._finish()
        os.close(self._descriptor)
        self._descriptor = -1

    def _readable(self) -> None:
        if self._window is None:
            self._window = self._loop.call_later(WINDOW.total_seconds(), self._next_window)
        self._chunks += 1
        if not self._read_chunk():
            self._finish()
        elif self._chunks >= WINDOW_CHUNKS or self._lines >= WINDOW_LINES:
            self._loop.remove_reader(self._descriptor)

    def _next_window(self) -> None:
        paused = self._chunks >= WINDOW_CHUNKS or self._lines >= WINDOW_LINES
        self._window, self._chunks, self._lines = None, 0, 0
        if paused:
            self._loop.add_reader(self._descriptor, self._readable)

    def _read_chunk(self) -> bool:
        """False at the end of the stream."""
        try:
            data = os.read(self._descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        lines = self._splitter.feed(data)
        self._lines += len(lines)
        self._take(lines)
        return True

    def _read_rest(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(REST_BYTES // CHUNK_BYTES):
                data = os.read(self._descriptor, CHUNK_BYTES)
                if not data:
                    return
                self._take(self._splitter.feed(data))

    def _finish(self) -> None:
        self._loop.remove_reader(self._descriptor)
        if self._window is not None:
            self._window.cancel()
        self._take(self._splitter.finish())
        self.ended.set()
