"""What the supervisor needs of a broker shard. It is told in messages alone: no link crosses this line.

By default the shard lives in the host's process; where it lives is the composition root's business.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from moorage.models.attachment import Attachment, Health, Holding, Peer
from moorage.models.contributions import Contributions
from moorage.models.event import PluginEvent
from moorage.models.execution import Execution, ResourceUse, TaskOutcome
from moorage.models.extensions import ExtensionCall
from moorage.models.levels import WorkerLevels
from moorage_proto.capability import Capability, Grants
from moorage_proto.errors import CallError


class AttachedWorker(Protocol):
    """One worker's link, seen from outside the shard. Methods raise CallError."""

    @property
    def calls(self) -> int:
        """Calls of the worker that came to the gate."""

    @property
    def denied(self) -> int: ...

    def uses(self, need: Capability) -> bool:
        """Whether it may, at this moment, have what the host does for it without a call of it; counted as a use."""

    def holdings(self) -> tuple[Holding, ...]:
        """What the host keeps open for it: transactions, say."""

    async def connected(self, timeout: timedelta) -> Peer:
        """Until the handshake is done."""

    async def load(
        self, config: Mapping[str, Any], *, version: str = "", state: bytes | None = None, from_version: str = ""
    ) -> Contributions:
        """Imports the plugin and runs ``on_load``, given what the worker before it left (``export_state``)."""

    async def serve_net(self, listener: socket.socket) -> None:
        """Serves the connections that come in on the worker's own network, by its grants, until its end."""

    async def run(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        """Runs one execution in a scope of its own, and ends the scope: commit first, then the outcome.

        ``crashed`` when the link is lost meanwhile. Cancelled, it cancels the plugin's task and rolls back.
        """

    def spent(self, execution: str) -> ResourceUse | None:
        """Its calls, once it has ended, however it did; told once. None: it never began."""

    async def handle(self, handler: str, event: PluginEvent, timeout: timedelta) -> TaskOutcome:
        """Calls one handler, as ``run`` does a task; the result is its reply, where it has one."""

    async def call_extension(self, call: ExtensionCall, timeout: timedelta) -> TaskOutcome:
        """Calls one extension, as ``run`` does a task; the result is its reply message, in bytes."""

    async def change_config(self, config: Mapping[str, Any], keys: Sequence[str], timeout: timedelta) -> bool:
        """The settings are these from now on; ``keys`` are those that changed. Whether the plugin has a hook for it.

        What the hook raises is the CallError.
        """

    async def set_log_levels(self, levels: WorkerLevels, timeout: timedelta) -> None:
        """Its loggers send records from these levels on. Answered also while the plugin's own code is stuck."""

    async def health(self, timeout: timedelta) -> Health:
        """The plugin's own opinion, from its own loop. A loop that is stuck does not answer: DEADLINE_EXCEEDED."""

    async def ping(self, timeout: timedelta) -> float:
        """Seconds until the SDK's link loop answered, which has a thread of its own."""

    async def export_state(self, timeout: timedelta) -> bytes | None:
        """What the plugin leaves to its next worker, to be given to its ``load`` and to nobody else.

        None: nothing, also of an SDK that is too old for it.
        """

    async def streams_ended(self, timeout: timedelta) -> None:
        """Until no stream of the worker's own, of no execution, goes on; or until the time is over."""

    async def unload(self, reason: str, timeout: timedelta) -> None:
        """Runs ``on_unload``, then tells the worker to leave."""

    def set_grants(self, grants: Grants) -> Awaitable[None]:
        """From now on calls are decided by these; the result is done when what no longer fits is released."""

    async def tainted(self) -> str:
        """Until an execution has gone on past its end for longer than the grace; its id."""

    async def lost(self) -> CallError:
        """Until the link has ended, and why. Waits for ever if there never was one."""

    async def end(self) -> None:
        """Releases everything that is held for the worker: scopes, socket, token. May be called twice."""


class Shard(Protocol):
    async def attach(self, attachment: Attachment, on_refused: Callable[[CallError], None]) -> AttachedWorker:
        """Listens for the worker. ``on_refused`` is told of each stream that was not let in."""
