"""The developer's terminal under ``moorage dev``: what is typed there, line by line, for breakpoints."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

from moorage.cli.plain import lines


class Terminal:
    """Implements ``moorage.broker.services.console.DeveloperConsole``.

    One thread reads, from the first question on: a read of a terminal cannot be called back, so a line that was asked
    for by a plugin that is gone answers the next question.
    """

    def __init__(self, source: TextIO | None = None, target: TextIO | None = None) -> None:
        self._source = source or sys.stdin
        self._target = target or sys.stdout
        self._typed: asyncio.Queue[str | None] = asyncio.Queue()
        self._reader: threading.Thread | None = None
        #: One question at a time; the next waits for its turn.
        self._turn = asyncio.Lock()
        #: What stands at the end of the screen and waits for an answer.
        self._prompt = ""

    def write(self, installation: str, text: str) -> None:  # noqa: ARG002 - there is one plugin under `moorage dev`
        """A plugin wrote it: nothing in it reaches the terminal as a control sequence."""
        for line in text.splitlines():
            self._target.write(f"{lines(line)}\n")
        self._target.flush()

    async def read_line(self, installation: str, prompt: str) -> str | None:  # noqa: ARG002 - as above
        async with self._turn:
            self._prompt = lines(prompt)
            self._ask()
            self._read()
            try:
                line = await self._typed.get()
            finally:
                self._prompt = ""
            if line is None:
                self._typed.put_nowait(None)
            return line

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What is printed inside begins on a line of its own; a question that is open is asked again below it."""
        if self._prompt:
            self._target.write("\n")
            self._target.flush()
        try:
            yield
        finally:
            self._ask()

    def _ask(self) -> None:
        self._target.write(self._prompt)
        self._target.flush()

    def _read(self) -> None:
        if self._reader is None:
            loop = asyncio.get_running_loop()
            self._reader = threading.Thread(target=self._follow, args=(loop,), name="terminal", daemon=True)
            self._reader.start()

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in self._source:
            loop.call_soon_threadsafe(self._typed.put_nowait, line.rstrip("\n"))
        loop.call_soon_threadsafe(self._typed.put_nowait, None)
