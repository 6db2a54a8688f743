"""``breakpoint()`` under ``moorage dev``: Python's own debugger, on the terminal of the developer.

A worker has neither a terminal nor input. What the debugger writes and reads crosses the link as calls in the scope of
the code that stopped, so that the host knows whose deadlines to hold meanwhile. Imported in development alone.
"""

from __future__ import annotations

import io
import pdb
import sys
from typing import Any

from moorage_proto import console_pb2
from moorage_proto.methods import service_methods
from moorage_sdk.channel import Channel

_CONSOLE = service_methods(console_pb2, "ConsoleService")


def install(channel: Channel) -> None:
    """From now on ``breakpoint()`` stops the plugin and asks the developer."""

    def stop(*_arguments: Any, **_options: Any) -> None:
        console: Any = HostConsole(channel)
        debugger = pdb.Pdb(stdin=console, stdout=console, nosigint=True)
        debugger.set_trace(sys._getframe(1))  # noqa: SLF001 - as pdb.set_trace does: the frame that called breakpoint()

    sys.breakpointhook = stop


class HostConsole(io.TextIOBase):
    """The developer's terminal as a text file. What was written last, on a line of its own, is the prompt."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._written = ""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._written += text
        return len(text)

    def flush(self) -> None:
        """Whole lines leave at once; what follows them may be a prompt, and leaves with the question."""
        whole, line_end, self._written = self._written.rpartition("\n")
        if line_end:
            self._channel.call(_CONSOLE["write"], console_pb2.WriteConsoleRequest(text=whole + line_end))

    def readline(self, _size: int = -1) -> str:  # type: ignore[override] # a line is never cut
        """Blocks until the developer has typed a line; "" when nobody is there: the debugger then lets go."""
        self.flush()
        prompt, self._written = self._written, ""
        reply = self._channel.call(_CONSOLE["read_line"], console_pb2.ReadLineRequest(prompt=prompt))
        return "" if reply.ended else f"{reply.line}\n"
