"""Console: the terminal of the developer, for breakpoints. A host has this service under ``moorage dev`` alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from moorage.broker.services.base import Caller
from moorage.models.installation import InstallationId
from moorage_proto import console_pb2


class DeveloperConsole(Protocol):
    """Where the developer sits. Texts were written by a plugin: whoever prints them makes them harmless."""

    def write(self, installation: InstallationId, text: str) -> None: ...

    async def read_line(self, installation: InstallationId, prompt: str) -> str | None:
        """What was typed, without its line end; None when the terminal has no more."""


#: Holds, while it is entered, the deadlines of what waits for the developer: of an incarnation and an execution ("" for
#: none, while a plugin loads).
HoldDeadlines = Callable[[InstallationId, str, str], AbstractContextManager[None]]


class ConsoleService:
    contract = console_pb2.DESCRIPTOR.services_by_name["ConsoleService"]

    def __init__(self, console: DeveloperConsole, hold_deadlines: HoldDeadlines) -> None:
        self._console = console
        self._hold_deadlines = hold_deadlines

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def write(self, caller: Caller, request: console_pb2.WriteConsoleRequest) -> console_pb2.WriteConsoleReply:
        self._console.write(caller.installation, request.text)
        return console_pb2.WriteConsoleReply()

    async def read_line(self, caller: Caller, request: console_pb2.ReadLineRequest) -> console_pb2.ReadLineReply:
        with self._hold_deadlines(caller.installation, caller.incarnation, caller.scope.execution):
            line = await self._console.read_line(caller.installation, request.prompt)
        return console_pb2.ReadLineReply(line=line or "", ended=line is None)
