"""A stream of bytes cut into lines, whatever arrives. Pure."""

from __future__ import annotations

#: Bytes kept of one line; the rest of it is skipped. With its mark it is shorter than what the log keeps of a text.
LINE_BYTES = 16_000

CUT_MARK = " [line cut here]"

_MARK_BYTES = CUT_MARK.encode()


class LineSplitter:
    """Holds at most one unfinished line of ``LINE_BYTES``. Lines are bytes: of a flood, few are ever made text."""

    def __init__(self) -> None:
        #: The line that has not ended yet.
        self.partial = b""
        #: Inside a line whose beginning was already given away.
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that this completes, without their ends. A line that is too long is given as soon as that is
        known, with a mark."""
        first, *others = data.split(b"\n")
        if not others:
            return self._extend(first)
        *whole, rest = others
        lines = self._complete(first)
        lines += whole if max(map(len, whole), default=0) <= LINE_BYTES else map(_cut, whole)
        return lines + self._extend(rest)

    def finish(self) -> list[bytes]:
        """The end of the stream: what stands there without a line end is a line too."""
        rest, self.partial = self.partial, b""
        self._skipping = False
        return [rest] if rest else []

    def _complete(self, part: bytes) -> list[bytes]:
        """The end of the line that was begun before."""
        if self._skipping:
            self._skipping = False
            return []
        line, self.partial = self.partial + part, b""
        return [_cut(line)]

    def _extend(self, part: bytes) -> list[bytes]:
        if self._skipping:
            return []
        self.partial += part
        if len(self.partial) <= LINE_BYTES:
            return []
        line, self.partial = self.partial, b""
        self._skipping = True
        return [_cut(line)]


def text(line: bytes) -> str:
    """Bytes that are no UTF-8 are shown as their escapes."""
    return line.removesuffix(b"\r").decode("utf-8", errors="backslashreplace")


def _cut(line: bytes) -> bytes:
    return line if len(line) <= LINE_BYTES else line[:LINE_BYTES] + _MARK_BYTES
