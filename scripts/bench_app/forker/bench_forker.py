"""Makes a tree of processes that do not want to end."""

from __future__ import annotations

import os
import subprocess
import sys

from moorage_sdk import Plugin

plugin = Plugin()

#: A program that ignores what can be ignored, says that it does, and sleeps.
DEAF = """
import os, signal
for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(ignored, signal.SIG_IGN)
os.write(1, b".")
while True:
    signal.pause()
"""


@plugin.task
def execute(input: int) -> int:  # noqa: A002 - the task's own word for it
    """As many descendants; each second one is a daemon in a session of its own."""
    reader, writer = os.pipe()
    for number in range(input):
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", DEAF], stdout=writer, start_new_session=number % 2 == 1, env={}
        )
    for _ in range(input):
        os.read(reader, 1)
    return input
