"""How a person ends a command that goes on until then."""

from __future__ import annotations

import asyncio
import os
import signal

#: By the shell's convention, 128 and the number of SIGINT.
INTERRUPTED = 130


def stop_event() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM. The second ends the process: the kernel ends its workers with it."""
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop
