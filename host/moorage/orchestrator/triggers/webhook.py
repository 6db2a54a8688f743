"""Webhooks: HTTP requests of others that start executions. Each is written down before it is answered.

Whoever cannot sign learns nothing: a webhook that is unknown, not granted, disabled, paused or at work is the same to
them.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from moorage.clock import Clock
from moorage.errors import MoorageError
from moorage.models.execution import Execution, ExecutionRequest
from moorage.models.installation import Installation, InstallationId
from moorage.models.trigger import TriggerId, TriggerState
from moorage.orchestrator.triggers import signature
from moorage.orchestrator.triggers.base import NotNow
from moorage.orchestrator.triggers.door import DoorParts, attempts_of, key_of, overlap_of
from moorage.orchestrator.triggers.signature import Form
from moorage.store.errors import NotStorable

log = logging.getLogger(__name__)

#: Senders' own names for a request, in this order; the same name is never a second execution.
KEY_HEADERS = ("idempotency-key", "x-github-delivery")
MAX_KEY_CHARACTERS = 200

#: Not handed to the plugin.
_PRIVATE_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", *(form.header for form in Form)})

#: A secret of this name counts as well, while senders change from one to the other.
OLD = "_OLD"

#: Whoever is told to come again, when.
BUSY_SECONDS, AWAY_SECONDS = 5, 30


class Registry(Protocol):
    """Which webhooks there are."""

    def webhook(self, installation: InstallationId, name: str) -> TriggerState | None:
        """Of this name; "": of those that select. None: there is none."""

    def obstacle(self, state: TriggerState) -> str:
        """Why it takes nothing now; empty: it does."""


#: A secret of the installation, or the operator's shared one, by its name; None: there is none.
ReadSecret = Callable[[InstallationId, str], Awaitable[str | None]]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, list[str]]
    #: Names in small letters.
    headers: Mapping[str, str]
    body: bytes
    #: Whether the caller is known otherwise: on the host's own API.
    is_known: bool = False


class WebhookRefused(MoorageError):
    """What the sender is told."""

    def __init__(self, status: int, code: str, sentence: str, retry_seconds: int | None = None) -> None:
        super().__init__(sentence)
        self.http_status = status
        self.code = code
        #: For ``Retry-After``; None: to send it again is of no use.
        self.retry_seconds = retry_seconds


class Webhooks:
    """On the event loop's thread."""

    def __init__(
        self, registry: Registry, parts: DoorParts, read_secret: ReadSecret, *, per_second: float = 50
    ) -> None:
        """``per_second``: requests of one webhook that are taken, with as many at once."""
        self._parts = parts
        self._registry = registry
        self._read_secret = read_secret
        self._paces: dict[str, _Pace] = {}
        self._per_second = per_second
        self._used = _Used(parts.clock)
        #: Triggers without the secret that they name.
        self._bare: set[TriggerId] = set()

    async def receive(self, installation: InstallationId, name: str, request: Request) -> Execution:
        """The execution that it has started, or that it started when it came before; written down.

        Raises WebhookRefused.
        """
        try:
            return await self._received(installation, name, request)
        except WebhookRefused:
            raise
        except MoorageError as error:
            log.warning("webhook %s of %s: a request was not taken: %s", name, installation, error)
            raise _away(installation) from error

    async def _received(self, installation: InstallationId, name: str, request: Request) -> Execution:
        state = self._registry.webhook(installation, name) or self._registry.webhook("", name)
        if state is None:
            # As much work as with one that is there.
            signature.verified(Form.GITHUB, request.headers, request.body, ("none",), self._parts.clock.now())
            raise _unknown(installation, name) if request.is_known else _unsigned()
        found = await self._target(state, installation)
        proof = await self._proof(state, installation, request)
        if proof is None:
            raise _unsigned()
        if found is None:
            raise _away(installation)
        # Each address of one that selects has its own senders.
        address = f"{state.id}@{installation}"
        if not self._paces.setdefault(address, _Pace(self._parts.clock, self._per_second)).take():
            raise _busy(installation)
        key = self._key(address, request, proof)
        return await self._submitted(state, found, key, request)

    async def _target(self, state: TriggerState, name: InstallationId) -> Installation | None:
        """None: it may not run now."""
        if self._registry.obstacle(state):
            return None
        return next((each for each in await self._parts.targets(state) if each.id == name), None)

    async def _proof(self, state: TriggerState, name: InstallationId, request: Request) -> str | None:
        """What tells what was signed from all else; empty: it needs none. None: it has no signature that is right."""
        wanted = state.trigger.options.get("secret")
        if not wanted:
            return "" if request.is_known else None
        secrets = [await self._read_secret(name, each) for each in (wanted, f"{wanted}{OLD}")]
        self._look_at(state, wanted, is_there=secrets[0] is not None)
        form = Form(state.trigger.options.get("signature", Form.MOORAGE))
        known = [secret for secret in secrets if secret is not None]
        return signature.verified(form, request.headers, request.body, known, self._parts.clock.now())

    def _look_at(self, state: TriggerState, secret: str, *, is_there: bool) -> None:
        """Said once: whoever comes by may send as many requests as he likes."""
        if is_there:
            self._bare.discard(state.id)
        elif state.id not in self._bare:
            self._bare.add(state.id)
            log.warning("%s: %s", state.id, no_secret(state.installation, secret))

    def _key(self, address: str, request: Request, proof: str) -> str:
        """Raises WebhookRefused where the signature was another request's."""
        own = next((request.headers[name] for name in KEY_HEADERS if request.headers.get(name)), "")
        if len(own) > MAX_KEY_CHARACTERS:
            raise WebhookRefused(400, "key_too_long", f"Its key has more than {MAX_KEY_CHARACTERS} characters.")
        # Of our own form, the signature is of one moment and one body: it is one request's.
        signed = hashlib.sha256(f"{address} {proof}".encode()).hexdigest() if "." in proof else ""
        key = own or signed
        if signed and self._used.by(signed, key) != key:
            sentence = "Its signature was that of another request. Sign each anew, and keep its Idempotency-Key."
            raise WebhookRefused(409, "signature_used", sentence)
        return key

    async def _submitted(
        self, state: TriggerState, installation: Installation, key: str, request: Request
    ) -> Execution:
        parts, began = self._parts, self._parts.clock.now()
        order = ExecutionRequest(
            installation.id,
            task=state.trigger.task,
            input=record(request),
            trigger=state.trigger.kind,
            trigger_id=state.id,
            key=key_of(state, key, installation.id),
            patient=True,
            attempts=attempts_of(state, parts.policy(installation)),
            overlap=overlap_of(state),
        )
        try:
            execution = await parts.orchestrator.submit(order)
        except NotStorable as error:
            raise WebhookRefused(422, "not_storable", "It holds something that cannot be kept.") from error
        except NotNow as error:
            known = parts.known(installation.id)
            runnable = known is not None and known.desired.runnable
            raise (_busy if runnable else _away)(installation.id) from error
        if execution.queued_at >= began:
            await self._count(state, execution)
        return execution

    async def _count(self, state: TriggerState, execution: Execution) -> None:
        """It is written down already: a sender that is refused now would sign it anew, and it would run twice."""
        try:
            await self._parts.counts.fired(state.id, execution.id, at=execution.queued_at)
        except MoorageError as error:
            log.warning("%s: that it has started %s was not counted: %s", state.id, execution.id, error)


def record(request: Request) -> dict[str, Any]:
    """The fields of the SDK's ``WebhookRequest``."""
    return {
        "method": request.method,
        "path": request.path,
        "query": {name: list(values) for name, values in request.query.items()},
        "headers": {name: value for name, value in request.headers.items() if name not in _PRIVATE_HEADERS},
        "body": request.body,
    }


@dataclass
class _Pace:
    """A bucket that fills by the clock."""

    clock: Clock
    per_second: float
    _left: float = 0.0
    _at: timedelta = field(default=timedelta(), init=False)

    def __post_init__(self) -> None:
        self._left, self._at = max(1.0, self.per_second), self.clock.elapsed()

    def take(self) -> bool:
        now = self.clock.elapsed()
        grown = self._left + (now - self._at).total_seconds() * self.per_second
        self._left, self._at = min(max(1.0, self.per_second), grown), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Used:
    """Signatures of the last minutes, with the key of the request that had each: one signature, one request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._keys: OrderedDict[str, tuple[timedelta, str]] = OrderedDict()

    def by(self, signed: str, key: str) -> str:
        """The key of the first request that had the signature: this one's, if none had it before."""
        now = self._clock.elapsed()
        # A signature is good for so long before its time, and after it.
        while self._keys and next(iter(self._keys.values()))[0] < now - 2 * signature.TOLERANCE:
            self._keys.popitem(last=False)
        return self._keys.setdefault(signed, (now, key))[1]


def _unknown(installation: InstallationId, name: str) -> WebhookRefused:
    return WebhookRefused(404, "webhook_unknown", f"There is no webhook {name} of {installation} here.")


def _unsigned() -> WebhookRefused:
    return WebhookRefused(401, "signature_invalid", "There is no such webhook, or it has no valid signature.")


def _busy(installation: InstallationId) -> WebhookRefused:
    sentence = f"{installation} has as much to do as it may have. Send it again in {BUSY_SECONDS} s."
    return WebhookRefused(429, "webhook_busy", sentence, BUSY_SECONDS)


def _away(installation: InstallationId) -> WebhookRefused:
    sentence = f"{installation} takes nothing now, and this was not kept. Send it again in {AWAY_SECONDS} s."
    return WebhookRefused(503, "webhook_away", sentence, AWAY_SECONDS)


def no_secret(installation: InstallationId, secret: str) -> str:
    """Why nothing is taken, and what to do."""
    return f"There is no secret {secret}, so that every request is refused. moorage secrets set {installation} {secret}"
