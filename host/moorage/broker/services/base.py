"""The contract between the broker and a service. An application's services use exactly this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from moorage.broker.scope import Scope
from moorage.models.installation import InstallationId
from moorage_proto.capability import Capability, Decision, Grants


class Guard(Protocol):
    """Decides for a handler whose access rule is late. A reply whose guard decided nothing is never sent."""

    def decide(self, need: Capability) -> Decision:
        """Records and returns the decision; synchronous, callable from any thread (SQLite's authorizer)."""

    def covers(self, need: Capability) -> bool:
        """Whether the need would be allowed by the present grants, also after the call; records nothing.

        For what is shown only where it is allowed, and for ``Held.revoked``.
        """

    def require(self, need: Capability) -> None:
        """Raises CallError(CAPABILITY_MISSING) when the need is not covered."""

    def require_any(self, backend: str) -> None:
        """Raises CallError(CAPABILITY_MISSING) unless some grant with one of the rule's verbs concerns the backend."""

    @property
    def grants(self) -> Grants:
        """By which it decides at present: for a backend that is to enforce the same."""

    def refusal(self, need: Capability) -> Exception:
        """The CallError for a need that ``decide`` refused: names the capability and the command that grants it."""


def _nothing(_: Capability) -> tuple[Capability, ...]:
    return ()


def _forget(_: Callable[[], bool]) -> None:
    """Of a call that nobody ends."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What a handler knows of the call."""

    installation: InstallationId
    incarnation: str
    scope: Scope
    #: None unless the method's access rule is late.
    guard: Guard | None
    #: Of the event loop's clock; None: no deadline.
    deadline: float | None
    traceparent: str
    #: Executions by scope id, of this link's live and recently ended scopes: for batches that outlive a scope.
    executions: Mapping[str, str] = field(default_factory=dict)
    #: The rights that allow a need now; none where it is not allowed. For what depends on how a right is written, such
    #: as that it names a host as it is; decides nothing by itself, and may be asked after the call too.
    covering: Callable[[Capability], tuple[Capability, ...]] = _nothing
    #: Names a condition of the call: once grants have changed so that it is false, the call ends with GRANT_REVOKED.
    only_while: Callable[[Callable[[], bool]], None] = _forget

    @property
    def label(self) -> str:
        """For backends' own operators: application_name, client.id: ``moorage/churn/e-9f2``."""
        return f"moorage/{self.installation}/{self.scope.execution or self.incarnation}"


class Service(Protocol):
    """A brokered service: its contract's methods are attributes with their Python names.

    A method ``Produce`` of the contract is ``produce(self, caller, request)``. It returns the reply; ``async def``
    where it waits, plain ``def`` where it does not (it then runs in the link's reader, and must not block). Where the
    contract streams replies it is an async generator; where it streams requests, ``request`` is an async iterator.
    Errors are CallErrors; anything else is answered as INTERNAL, and logged.
    """

    @property
    def contract(self) -> Any:
        """The ServiceDescriptor."""

    async def open(self) -> None:
        """Before the first call."""

    async def close(self) -> None:
        """After the last call; scopes have ended."""


@runtime_checkable
class Forgetting(Protocol):
    """A service that makes something for an installation elsewhere, such as a user on a server."""

    async def forget(self, installation: InstallationId) -> None:
        """It was removed: what was made for it goes. May raise, where a server is away."""
