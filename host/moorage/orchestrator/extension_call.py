"""One call of one plugin at an extension point: from the turn that it waits for to what its answer is worth."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from moorage.clock import Clock
from moorage.errors import Conflict, MoorageError, NotFound
from moorage.models.contributions import Contributions
from moorage.models.execution import ExecutionState, TaskOutcome
from moorage.models.extensions import ExtensionCall, ExtensionFailure, FailureKind
from moorage.models.installation import InstallationId
from moorage.orchestrator.call_counts import CallCounter
from moorage.orchestrator.standing import Judge, not_granted, not_implemented
from moorage_proto.capability import EXTENSIONS_IMPLEMENT, Capability, need
from moorage_proto.typed import ValueUnfit
from moorage_proto.typed.contract import TypedMethod
from moorage_proto.typed.extension import MAX_BYTES, Point

log = logging.getLogger(__name__)

#: Answers of more bytes are read in a thread: of few bytes there may be very many values.
SMALL_BYTES = 8 * 1024

_KINDS = {
    ExecutionState.TIMED_OUT: FailureKind.TIMED_OUT,
    ExecutionState.CRASHED: FailureKind.CRASHED,
    # Its worker was stopped, or killed, by somebody.
    ExecutionState.CANCELLED: FailureKind.CRASHED,
}


class ExtensionSession(Protocol):
    """A ready worker, lent for one call."""

    @property
    def contributions(self) -> Contributions: ...

    def uses(self, need: Capability) -> bool:
        """Whether it has the right at this moment; counted as a use of it."""

    async def call_extension(self, call: ExtensionCall, timeout: timedelta) -> TaskOutcome: ...


class ExtensionSessions(Protocol):
    def session(self, installation: InstallationId) -> AbstractAsyncContextManager[ExtensionSession]:
        """A ready worker, started if there is none. Raises as the orchestrator's."""


@dataclass(frozen=True)
class Request:
    """What all that are called are asked."""

    point: Point
    method: TypedMethod
    #: The message, as it crosses.
    data: bytes = field(repr=False)
    #: For people.
    timeout: timedelta
    #: When the time is over, by the clock's ``elapsed``.
    until: timedelta

    @property
    def name(self) -> str:
        return f"{self.point.name}.{self.method.name}"


@dataclass(frozen=True)
class Answered:
    value: Any


@dataclass(frozen=True)
class NotCalled:
    """It may not be called, or implements nothing of this."""

    sentence: str


Result = Answered | ExtensionFailure | NotCalled


@dataclass
class Call:
    """Of one installation."""

    request: Request
    installation: InstallationId
    #: Whether it has its turn, and whether the plugin was asked.
    has_turn: bool = False
    asked: bool = False

    def late(self) -> ExtensionFailure:
        """When the time is over."""
        seconds = self.request.timeout.total_seconds()
        if self.asked:
            return self.failed(FailureKind.TIMED_OUT, f"It has not answered {self.request.name} within {seconds:g} s.")
        waited = "no worker was ready" if self.has_turn else "it was busy with as many other calls as it may have"
        return self.failed(FailureKind.NOT_READY, f"It was not asked within {seconds:g} s: {waited}.")

    def failed(self, kind: FailureKind, sentence: str) -> ExtensionFailure:
        return ExtensionFailure(self.installation, kind, sentence)


class Calls:
    """Makes calls of single installations, a bounded number of each at one time."""

    def __init__(
        self,
        judge: Judge,
        sessions: ExtensionSessions,
        counter: CallCounter,
        clock: Clock,
        *,
        at_once: int,
        plain: Callable[[InstallationId, str], str],
    ) -> None:
        """``plain`` gives a text of an installation's as people may see it: harmless, and without its secrets."""
        self._judge = judge
        self._sessions = sessions
        self._counter = counter
        self._clock = clock
        self._at_once = at_once
        self._plain = plain
        self._turns: weakref.WeakValueDictionary[InstallationId, asyncio.Semaphore] = weakref.WeakValueDictionary()
        self._readings: weakref.WeakValueDictionary[InstallationId, asyncio.Semaphore] = weakref.WeakValueDictionary()

    async def make(self, call: Call) -> Result:
        """Whatever the plugin does, it is a result. Cancelled, it cancels the plugin's work, and rolls it back."""
        turns = self._turns.setdefault(call.installation, asyncio.Semaphore(self._at_once))
        try:
            async with turns:
                call.has_turn = True
                async with self._sessions.session(call.installation) as worker:
                    return await self._ask(call, worker)
        except (Conflict, NotFound) as error:
            return NotCalled(str(error))
        except MoorageError as error:
            return call.failed(FailureKind.NOT_READY, str(error))
        except Exception as error:
            log.exception("%s: calling %s failed", call.installation, call.request.name)
            return call.failed(FailureKind.NOT_READY, f"The host failed to call it: {type(error).__name__}.")

    async def _ask(self, call: Call, worker: ExtensionSession) -> Result:
        request, name = call.request, call.installation
        chosen = self._judge.callable(worker.contributions.extensions, request.point.name)
        if chosen is None or request.method.name not in chosen[1].methods:
            return NotCalled(not_implemented(request.name, chosen))
        if not worker.uses(need(EXTENSIONS_IMPLEMENT, request.point.name)):
            return NotCalled(not_granted(name, request.point.name))
        wire = ExtensionCall(request.point.name, chosen[0].version, request.method.name, request.data)
        call.asked = True
        self._counter.called(request.point.name, name)
        outcome = await worker.call_extension(wire, max(request.until - self._clock.elapsed(), timedelta()))
        return await self._read(call, outcome)

    async def _read(self, call: Call, outcome: TaskOutcome) -> Result:
        if outcome.state is not ExecutionState.SUCCEEDED:
            return self._failure(call, outcome)
        data: bytes = outcome.result
        if len(data) > MAX_BYTES:
            problem = f"it takes {len(data):,} bytes, and at most {MAX_BYTES:,} are taken"
            return call.failed(FailureKind.INVALID, f"Its answer is refused: {problem}.")
        if len(data) <= SMALL_BYTES:
            return _answer(call, data)
        return await self._read_large(call, data)

    async def _read_large(self, call: Call, data: bytes) -> Result:
        """One of an installation at a time: the threads are the host's, and there are few of them."""
        turn = self._readings.setdefault(call.installation, asyncio.Semaphore())
        await turn.acquire()
        reading = asyncio.get_running_loop().run_in_executor(None, _answer, call, data)
        # The thread goes on when nobody waits for it any more; its turn ends with it.
        reading.add_done_callback(lambda _: turn.release())
        return await asyncio.shield(reading)

    def _failure(self, call: Call, outcome: TaskOutcome) -> ExtensionFailure:
        kind = _KINDS.get(outcome.state, FailureKind.FAILED)
        if kind is FailureKind.TIMED_OUT or outcome.error is None:
            return call.late()
        error = outcome.error
        said = (self._plain(call.installation, text) for text in (error.message, error.type, error.traceback))
        return ExtensionFailure(call.installation, kind, *said)


def _answer(call: Call, data: bytes) -> Result:
    """What arrived is a stranger's: nothing of it becomes an exception here."""
    method = call.request.method
    try:
        return Answered(method.result(method.method.reply.FromString(data)))
    except DecodeError:
        problem = "it is no message of the contract"
    except ValueUnfit as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - whatever the application's own classes raise at what they are given
        problem = f"{type(error).__name__} was raised where it was made an object"
    return call.failed(FailureKind.INVALID, f"Its answer is refused: {problem}.")
