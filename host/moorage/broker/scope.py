"""Scopes: what a call belongs to, and who ends what the host holds for it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from moorage.models.installation import InstallationId

log = logging.getLogger(__name__)

#: Longest time that ending one held resource may take.
RELEASE_TIMEOUT_SECONDS = 5.0


class ScopeKind(StrEnum):
    INCARNATION = "incarnation"
    EXECUTION = "execution"
    REQUEST = "request"
    EVENT = "event"


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
    open: bool = True

    _handles: itertools.count[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def hold(self, resource: Held) -> int:
        """Owns the resource from now on; the number is the handle the worker may name it by."""
        handle = next(self._handles)
        self.held[handle] = resource
        return handle

    def drop(self, handle: int) -> None:
        """Forgets a resource that its service has released itself."""
        self.held.pop(handle, None)

    async def end(self, *, success: bool) -> None:
        """Finishes and releases all that is held, newest first. May be called twice.

        Raises the first CallError of a failed commit, after everything was released.
        """
        if not self.open:
            return
        self.open = False
        failure: Exception | None = None
        for resource in list(reversed(self.held.values())):
            try:
                async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                    await resource.finish(success=success and failure is None)
            except Exception as error:  # noqa: BLE001 - whatever a service raises, the others must still be released
                failure = failure or error
        for resource in list(reversed(self.held.values())):
            try:
                async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                    await resource.release()
            except Exception:
                log.exception("scope %s: releasing %s failed", self.id, type(resource).__name__)
        self.held.clear()
        self.keyed.clear()
        if failure is not None and success:
            raise failure
