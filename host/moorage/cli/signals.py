"""How a person ends a command that goes on until then."""

from __future__ import annotations

import asyncio
import os
import signal

#: By the shell's convention, 128 and the number of SIGINT.
INTERRUPTED = 130


def stop_event() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM. The second ends the process: the kernel ends its workers with it."""
    (stop,) = _events(1)
    return stop


def stop_events() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first and the second SIGINT or SIGTERM: stop, and stop now. The third ends the process."""
    stop, now = _events(2)
    return stop, now


def _events(count: int) -> tuple[asyncio.Event, ...]:
    """Set one after another."""
    events = tuple(asyncio.Event() for _ in range(count))

    def asked() -> None:
        for event in events:
            if not event.is_set():
                event.set()
                return
        os._exit(INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return events
