"""Scopes: what a call belongs to, and who ends what the host holds for it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from moorage.models.attachment import Holding
from moorage.models.installation import InstallationId
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Longest time that ending one held resource may take.
RELEASE_TIMEOUT_SECONDS = 5.0


class ScopeKind(StrEnum):
    INCARNATION = "incarnation"
    EXECUTION = "execution"
    REQUEST = "request"
    EVENT = "event"
    EXTENSION = "extension"


class Held(Protocol):
    """Something the host holds open for a worker: a connection, a cursor, a subscription."""

    async def finish(self, *, success: bool) -> None:
        """The scope's work ended well or not: commit or roll back. Called once, before release.

        Raises CallError when the commit failed; the scope's outcome is then a failure.
        """

    async def release(self) -> None:
        """Give it up, however things stand. Called exactly once; must not raise for expected states."""

    def revoked(self) -> bool:
        """Whether the present grants no longer allow it; it is then finished without success and released."""


@runtime_checkable
class Telling(Protocol):
    """A held resource of which people are told while it is open."""

    def open_since(self) -> tuple[str, datetime] | None:
        """What it is, for people, and since when; None: nothing worth telling."""


@runtime_checkable
class Committing(Protocol):
    """A held resource that the end of its scope commits."""

    def uncommitted(self) -> bool:
        """Whether there is anything to commit now."""


@dataclass
class Scope:
    """One live scope of one link."""

    id: str
    kind: ScopeKind
    installation: InstallationId
    incarnation: str
    #: The execution's id; empty for the incarnation's own scope.
    execution: str = ""
    held: dict[int, Held] = field(default_factory=dict)
    #: Things found by key rather than by handle, such as the scoped connection of a backend.
    keyed: dict[tuple[str, str], Held] = field(default_factory=dict)
    #: Handles whose resource goes, or went, because a grant was taken back.
    revoked: set[int] = field(default_factory=set)
    open: bool = True
    #: Something of its work was rolled back before its end: it cannot succeed any more.
    lost: CallError | None = None
    #: Calls that named it, those denied among them; and the bytes of their requests and replies.
    calls: int = 0
    denied: int = 0
    bytes: int = 0

    _handles: itertools.count[int] = field(default_factory=lambda: itertools.count(1), repr=False)
    _ending: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    def holdings(self) -> tuple[Holding, ...]:
        """What people should know is open, oldest first."""
        told = [resource.open_since() for resource in self.held.values() if isinstance(resource, Telling)]
        return tuple(Holding(self.execution, *what) for what in sorted(filter(None, told), key=lambda each: each[1]))

    def hold(self, resource: Held) -> int:
        """Owns the resource from now on; the number is the handle the worker may name it by."""
        handle = next(self._handles)
        self.held[handle] = resource
        return handle

    def resource(self, handle: int) -> Held:
        """What the worker names by a handle.

        Raises CallError: HANDLE_UNKNOWN, or GRANT_REVOKED when it was this scope's and had to go.
        """
        if handle in self.revoked:
            sentence = f"What handle {handle} named was closed, because an operator took a grant back that it needed."
            raise CallError(Status.PERMISSION_DENIED, Reason.GRANT_REVOKED, sentence)
        found = self.held.get(handle)
        if found is not None:
            return found
        sentence = f"Handle {handle} names nothing that this scope holds: it was closed, or belongs to another scope."
        raise CallError(Status.NOT_FOUND, Reason.HANDLE_UNKNOWN, sentence)

    def drop(self, handle: int) -> None:
        """Forgets a resource that its service has released itself."""
        self.held.pop(handle, None)

    async def revoke(self, handle: int) -> None:
        """Rolls one resource back and releases it; its handle is answered with GRANT_REVOKED from now on."""
        async with self._ending:
            resource = self.held.get(handle)
            if resource is None:
                return
            self.revoked.add(handle)
            if isinstance(resource, Committing) and resource.uncommitted():
                self.lost = self.lost or _rolled_back(self.id)
            await self._finish(resource, success=False)
            if handle in self.held:
                await self._release(resource)
            self.held.pop(handle, None)
            for key in [key for key, held in self.keyed.items() if held is resource]:
                del self.keyed[key]

    async def end(self, *, success: bool) -> None:
        """Finishes and releases all that is held, newest first.

        May be called again; what was opened since, by a handler that outlived the scope, is then released.
        Raises the first CallError of a failed commit, after everything was released; where something was ``lost``, all
        is rolled back.
        """
        async with self._ending:
            self.open = False
            failure: Exception | None = self.lost
            for resource in list(reversed(self.held.values())):
                error = await self._finish(resource, success=success and failure is None)
                failure = failure or error
            for resource in list(reversed(self.held.values())):
                await self._release(resource)
            self.held.clear()
            self.keyed.clear()
        if failure is not None and success:
            raise failure

    async def _finish(self, resource: Held, *, success: bool) -> Exception | None:
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                await resource.finish(success=success)
        except Exception as error:  # noqa: BLE001 - whatever a service raises, the others must still be released
            return error
        return None

    async def _release(self, resource: Held) -> None:
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                await resource.release()
        except Exception:
            log.exception("scope %s: releasing %s failed", self.id, type(resource).__name__)


def _rolled_back(scope: str) -> CallError:
    return CallError(
        Status.ABORTED,
        Reason.GRANT_REVOKED,
        f"{scope} was rolled back: an operator took a grant back that its open transaction needed.",
    )
