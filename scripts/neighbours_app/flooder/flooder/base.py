"""What all floods have in common."""

import threading
import time
from collections import Counter
from typing import Callable, Dict

from moorage_sdk import Plugin, scope

plugin = Plugin()


class Until:
    """``while until.on:`` for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._over = time.monotonic() + seconds

    @property
    def on(self) -> bool:
        return time.monotonic() < self._over


def attempt(counts: Counter, action: Callable[[], object], done: str) -> None:
    """Counts what came of it: as done, or by the kind of its error."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
        counts[type(error).__name__] += 1
    else:
        counts[done] += 1


def in_threads(number: int, work: Callable[[Counter], None]) -> Dict[str, int]:
    """The work in so many threads, in the scope of the caller; all their counts together."""
    counts: Counter = Counter()
    lock = threading.Lock()
    within = scope.current()

    def body() -> None:
        own: Counter = Counter()
        with scope.entered(within):
            work(own)
        with lock:
            counts.update(own)

    threads = [threading.Thread(target=body) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(counts)
