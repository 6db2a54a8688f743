"""What all threads of a worker are doing: asked by a signal, cut out of what it writes, and read. Reading is pure.

The worker's SDK registers Python's faulthandler for the signal, which writes to standard error without the help of the
interpreter. The plugin lives in the same process: it can forge such a text, or be rid of the handler. What it forges is
shown as its own, and bounded; nothing but words for people is made of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath

from moorage.telemetry.lines import text as decoded
from moorage_proto import signals

#: From the signal to the end of what the worker writes.
TAKE_TIMEOUT = timedelta(seconds=2)
#: Nothing more of it for so long: that was all. Longer than the capture's own pace.
QUIET = timedelta(milliseconds=120)

#: Python writes at most 100 threads of 100 frames.
MAX_LINES = 2_000
#: Empty lines in a row that a dump may have. Python writes one.
MAX_EMPTY = 3
MAX_CHARACTERS = 64_000

_HEADING = re.compile(r"^(?:Current thread|Thread) 0x[0-9a-f]+(?: \[[^\]]*\])? \(most recent call first\):\s*$")
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<function>.*)$')
_OTHER = ("  ...", "  <no Python frame>", "  <cannot ")
_FATAL = b"Fatal Python error: "

#: The file that stands at the bottom of a worker's main thread.
_MAIN = "moorage_sdk/worker/bootstrap.py"
_IMPORTING = "<frozen importlib"


@dataclass(frozen=True)
class Places:
    """Where code lies, as the worker sees it; each ends with a slash."""

    #: The plugin's own, longest first.
    code: tuple[str, ...]

    @classmethod
    def of(cls, code_path: Path, code_roots: Iterable[str]) -> Places:
        """In a sandbox with a root of its own it lies in /plugin, elsewhere where the host has it."""
        bases = ("/plugin", code_path, code_path.resolve())
        folders = [f"{base}/{root}".rstrip("/") + "/" for base in bases for root in (*code_roots, "")]
        return cls(tuple(sorted(set(folders), key=lambda folder: (-len(folder), folder))))

    def own(self, file: str) -> str:
        """The path within the plugin's code; empty: it is not the plugin's."""
        return next((file.removeprefix(folder) for folder in self.code if file.startswith(folder)), "")


@dataclass(frozen=True)
class Frame:
    file: str
    line: str
    function: str


@dataclass(frozen=True)
class Thread:
    heading: str
    #: The newest first.
    frames: tuple[Frame, ...]

    @property
    def is_main(self) -> bool:
        return any(frame.file.endswith(_MAIN) for frame in self.frames)


@dataclass(frozen=True)
class Stack:
    #: Of all threads, the main one first; harmless and bounded.
    text: str = ""
    #: The newest frame of the plugin's own code: "geo/index.py:88 build()"; empty: none is in it.
    where: str = ""
    #: What the plugin's code waits for where that is an import: "importing numpy, in churn/plugin.py:3".
    doing: str = ""


def read(lines: Sequence[str], places: Places) -> Stack:
    """Of what faulthandler writes; a text without a single thread is an empty stack."""
    threads = sorted(parse(lines), key=lambda thread: not thread.is_main)
    return Stack(_text(threads), own_frame(threads, places), occupation(threads, places))


def parse(lines: Iterable[str]) -> tuple[Thread, ...]:
    threads: list[Thread] = []
    frames: list[Frame] = []
    heading = ""
    for line in (*lines, "Thread 0x0 (most recent call first):"):
        if _HEADING.match(line):
            if heading:
                threads.append(Thread(heading, tuple(frames)))
            heading, frames = line.rstrip(), []
        elif found := _FRAME.match(line):
            frames.append(Frame(**found.groupdict()))
    return tuple(threads)


def own_frame(threads: Iterable[Thread], places: Places) -> str:
    """Where the plugin's code is, in the first of the threads that is in it."""
    for thread in threads:
        for frame in thread.frames:
            if own := places.own(frame.file):
                return f"{own}:{frame.line} {_called(frame)}".rstrip()
    return ""


def occupation(threads: Iterable[Thread], places: Places) -> str:
    """What the plugin's code is at: an import that it waits for, or the place itself."""
    for thread in threads:
        number = next((n for n, frame in enumerate(thread.frames) if places.own(frame.file)), None)
        if number is None:
            continue
        frame = thread.frames[number]
        place = f"{places.own(frame.file)}:{frame.line}"
        above = thread.frames[:number]
        if above and above[-1].file.startswith(_IMPORTING):
            return f"importing {_imported(above)}, in {place}"
        return f"at {place}, at the top level of its module" if not _called(frame) else f"in {_called(frame)}, {place}"
    return ""


def _imported(above: Sequence[Frame]) -> str:
    """The module whose import the frames above the plugin's own are."""
    file = next((frame.file for frame in reversed(above) if not frame.file.startswith("<")), "")
    if not file:
        return "a module of native code"
    _, packages, inside = file.rpartition("-packages/")
    first = PurePosixPath(inside).parts[0] if packages and inside else PurePosixPath(file).name
    return first.removesuffix(".py")


def _called(frame: Frame) -> str:
    return "" if frame.function == "<module>" else f"{frame.function}()"


def _text(threads: Iterable[Thread]) -> str:
    parts = []
    for thread in threads:
        lines = [f'  File "{frame.file}", line {frame.line} in {frame.function}' for frame in thread.frames]
        parts.append("\n".join([thread.heading, *(lines or ["  <no Python frame>"])]))
    whole = "\n\n".join(parts)
    return whole if len(whole) <= MAX_CHARACTERS else whole[:MAX_CHARACTERS] + "\n[cut here]"


class DumpCutter:
    """Finds dumps among the lines of standard error. Those that were asked for do not belong into the log.

    Pure but for its state. A dump that comes after nobody waits for it any more is still cut out.
    """

    def __init__(self) -> None:
        #: Of the dump that was asked for last.
        self.asked: list[bytes] = []
        #: Of the last one that nobody asked for: Python wrote it as it died, or the plugin did.
        self.unasked: list[bytes] = []
        self._awaited = False
        self._inside: list[bytes] | None = None
        #: Empty lines, of which is not known yet whether they belong to the dump.
        self._empty: list[bytes] = []

    def expect(self) -> None:
        """The next dump is one that the host asks for."""
        self._awaited, self.asked, self._inside = True, [], None

    def feed(self, lines: list[bytes]) -> list[bytes]:
        """Takes what is a dump, and returns what belongs into the log."""
        if self._inside is None and not _may_begin(lines):
            return lines
        rest: list[bytes] = []
        for line in lines:
            if not self._is_dump(line):
                self._leave(rest)
                rest.append(line)
            elif line.strip():
                self._take(line, rest)
            else:
                self._empty.append(line)
        return rest

    def _is_dump(self, line: bytes) -> bool:
        if self._inside is None and not line.startswith((b"Thread 0x", b"Current thread 0x", _FATAL)):
            return False
        if not line.strip():
            return len(self._empty) < MAX_EMPTY
        words = decoded(line)
        begins = bool(_HEADING.match(words)) or line.startswith(_FATAL)
        return begins or (self._inside is not None and (bool(_FRAME.match(words)) or words.startswith(_OTHER)))

    def _take(self, line: bytes, rest: list[bytes]) -> None:
        if self._inside is None or line.startswith(_FATAL):
            dies = line.startswith(_FATAL)
            self._inside = self.asked if self._awaited and not dies else []
            if self._inside is not self.asked:
                self.unasked = self._inside
        taken = [*self._empty, line]
        self._empty.clear()
        if self._inside is not self.asked:
            rest += taken
        self._inside += taken[: MAX_LINES - len(self._inside)]

    def _leave(self, rest: list[bytes]) -> None:
        """A line of something else: the dump has ended, or was interrupted by another thread's words."""
        if self._inside is None:
            return
        rest += self._empty
        self._empty.clear()
        self._inside = None

    def done(self) -> None:
        """All of the dump that was asked for is here."""
        self._awaited, self._inside = False, None
        self._empty.clear()


def _may_begin(lines: list[bytes]) -> bool:
    """Whether a dump can begin among them. Of a flood of lines each costs the same few nanoseconds."""
    together = b"\n".join(lines)
    return any(mark in together for mark in (b"Thread 0x", b"Current thread 0x", _FATAL))


class StackTaker:
    """Asks one worker for its stack, one question at a time."""

    def __init__(
        self, cutter: DumpCutter, ask: Callable[[], bool], plain: Callable[[str], str], places: Places
    ) -> None:
        """``ask`` sends the signal, and tells whether the worker can answer; ``plain`` makes a line harmless."""
        self._cutter = cutter
        self._ask = ask
        self._plain = plain
        self._places = places
        self._turn = asyncio.Lock()

    async def take(self) -> Stack:
        """Empty when the worker does not answer in time: it is stopped, or has no handler any more."""
        async with self._turn:
            self._cutter.expect()
            if not self._ask():
                self._cutter.done()
                return Stack()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TAKE_TIMEOUT.total_seconds()):
                    await self._quiet()
            lines = tuple(self._cutter.asked)
            if lines:
                self._cutter.done()
            return self.read(lines)

    def dying(self) -> Stack:
        """What Python wrote by itself as the worker ended."""
        return self.read(self._cutter.unasked)

    def read(self, lines: Iterable[bytes]) -> Stack:
        return read([self._plain(decoded(line)) for line in lines], self._places)

    async def _quiet(self) -> None:
        """Until the dump has begun and nothing more of it comes."""
        seen = -1
        while seen != len(self._cutter.asked) or not seen:
            seen = len(self._cutter.asked)
            await asyncio.sleep(QUIET.total_seconds())


def answers(status: str) -> bool:
    """Whether a process handles the signal, by its /proc/PID/status: unhandled it might end a worker."""
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (signals.DUMP_STACKS - 1) & 1)
