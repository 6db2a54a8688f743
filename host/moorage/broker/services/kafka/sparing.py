"""librdkafka's own log lines in the host's log: it says some twenty times a second that a cluster is not there."""

from __future__ import annotations

import logging
import re
import time

#: Until the same is said again, with how often it was left out.
REPEAT_SECONDS = 60.0

#: Different lines that are remembered.
_MAX_LINES = 100

_DIGITS = re.compile(r"[0-9]+")


class SparingLog:
    """What confluent-kafka calls for each line, in the thread that polls. Lines that differ in numbers are the same."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        #: When it was said, and how often not since then.
        self._said: dict[str, tuple[float, int]] = {}

    def log(self, level: int, message: str, *parts: object) -> None:
        text = message % parts if parts else message
        line = _DIGITS.sub("0", text)
        now = time.monotonic()
        at, left_out = self._said.get(line, (None, 0))
        if at is not None and now - at < REPEAT_SECONDS:
            self._said[line] = (at, left_out + 1)
            return
        if len(self._said) >= _MAX_LINES:
            self._said.clear()
        self._said[line] = (now, 0)
        self._log.log(level, "%s%s", text, f" (and {left_out} times more)" if left_out else "")
