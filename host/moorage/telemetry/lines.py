"""A stream of bytes cut into lines, whatever arrives. Pure."""

from __future__ import annotations

#: Bytes kept of one line; the rest of it is skipped. With its mark it is shorter than what the log keeps of a text.
LINE_BYTES = 16_000

CUT_MARK = " [line cut here]"


class LineSplitter:
    """Holds at most one unfinished line of ``LINE_BYTES``."""

    def __init__(self) -> None:
        self._partial = b""
        #: Inside a line whose beginning was already given away.
        self._skipping = False

    @property
    def partial(self) -> str:
        return _text(self._partial)

    def feed(self, data: bytes) -> list[str]:
        """The lines that this completes, without their ends. A line that is too long is given as soon as that is
        known, with a mark."""
        *whole, rest = data.split(b"\n")
        lines = [line for part in whole if (line := self._complete(part)) is not None]
        early = self._extend(rest)
        return lines if early is None else [*lines, early]

    def finish(self) -> list[str]:
        """The end of the stream: what stands there without a line end is a line too."""
        rest, self._partial = self._partial, b""
        self._skipping = False
        return [_text(rest)] if rest else []

    def _complete(self, part: bytes) -> str | None:
        if self._skipping:
            self._skipping = False
            return None
        line, self._partial = self._partial + part[: LINE_BYTES + 1], b""
        return _text(line[:LINE_BYTES]) + CUT_MARK if len(line) > LINE_BYTES else _text(line)

    def _extend(self, rest: bytes) -> str | None:
        if self._skipping:
            return None
        self._partial += rest[: LINE_BYTES + 1]
        if len(self._partial) <= LINE_BYTES:
            return None
        line, self._partial = self._partial[:LINE_BYTES], b""
        self._skipping = True
        return _text(line) + CUT_MARK


def _text(line: bytes) -> str:
    """Bytes that are no UTF-8 are shown as their escapes."""
    return line.removesuffix(b"\r").decode("utf-8", errors="backslashreplace")
