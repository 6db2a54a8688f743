"""Calls plugins at the application's extension points: one, all, or all until the first answers; with a deadline.

A call is no execution: nothing is queued, written down or tried again. It has a scope of its own in the plugin, which
is committed when the plugin has answered. Who has not answered when the time is over is left behind: its work is
cancelled and rolled back while nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta
from typing import Any, TypeVar

from moorage.clock import Clock, SystemClock
from moorage.models.extensions import (
    Answers,
    CallLimits,
    ExtensionFailure,
    FailureKind,
    FirstAnswer,
)
from moorage.models.installation import InstallationId
from moorage.orchestrator.call_counts import CallCounter
from moorage.orchestrator.extension_call import Answered, Call, Calls, ExtensionSessions, NotCalled, Request, Result
from moorage.orchestrator.extension_errors import ExtensionFailed, ExtensionPointUnknown, ExtensionsStopped
from moorage.orchestrator.implementers import Implementers
from moorage.orchestrator.recorder import harmless
from moorage.orchestrator.standing import Judge
from moorage.owned import OwnedTasks
from moorage.store.errors import InstallationUnknown, StoreFailed
from moorage_proto.typed import ContractInvalid, ValueUnfit
from moorage_proto.typed.extension import MAX_BYTES, method_of

Found = TypeVar("Found")

#: Told of each failure, with the method: for the plugin's log.
Tell = Callable[[str, ExtensionFailure], None]


class ExtensionPoints:
    """On the event loop's thread. Cancelling a caller cancels what it has called."""

    def __init__(
        self,
        judge: Judge,
        implementers: Implementers,
        sessions: ExtensionSessions,
        *,
        limits: CallLimits | None = None,
        clock: Clock | None = None,
        tell: Tell = lambda _method, _failure: None,
        plain: Callable[[InstallationId, str], str] = harmless,
        ready: Callable[[InstallationId], bool] = lambda _: True,
    ) -> None:
        """``plain`` gives a text of an installation's as people may see it. ``ready``: whether it has a worker now."""
        self._judge = judge
        self._implementers = implementers
        self._limits = limits or CallLimits()
        self._clock = clock or SystemClock()
        self._tell = tell
        self._ready = ready
        self.counter = CallCounter(self._clock)
        self._calls = Calls(judge, sessions, self.counter, self._clock, at_once=self._limits.at_once, plain=plain)
        self._tasks = OwnedTasks()
        self._stopped = False

    async def call_all(
        self,
        method: Any,
        arguments: tuple[Any, ...],
        *,
        timeout: timedelta | None = None,
        among: Collection[InstallationId] | None = None,
        start: bool = True,
    ) -> Answers[Any]:
        """All that implement the method, at one time. ``among``: of these alone; ``start``: False leaves out those that
        have no ready worker.

        Returns when all have answered or failed, or the time is over. Raises ExtensionPointUnknown, ExtensionsStopped,
        StoreFailed; TypeError and ValueUnfit for arguments that the contract does not take.
        """
        request = self._request(method, arguments, timeout)
        found = await self._conduct(request, await self._names(request, among, start))
        values = {name: result.value for name, result in sorted(found.items()) if isinstance(result, Answered)}
        return Answers(values, _failures(found))

    async def call_first(
        self,
        method: Any,
        arguments: tuple[Any, ...],
        *,
        timeout: timedelta | None = None,
        among: Collection[InstallationId] | None = None,
        start: bool = True,
    ) -> FirstAnswer[Any]:
        """As ``call_all``, until somebody answers with something else than None: the others are cancelled then. Of
        those that answer in the same moment it is the first by name.
        """
        request = self._request(method, arguments, timeout)
        found = await self._conduct(request, await self._names(request, among, start), _is_answer)
        for name, result in found.items():
            if isinstance(result, Answered) and _is_answer(result):
                return FirstAnswer(result.value, name, _failures(found))
        return FirstAnswer(failures=_failures(found))

    async def call_one(
        self, installation: InstallationId, method: Any, arguments: tuple[Any, ...], *, timeout: timedelta | None = None
    ) -> Any:
        """That installation's answer. Raises as ``call_all``, and ExtensionFailed, InstallationUnknown."""
        request = self._request(method, arguments, timeout)
        known = await self._in_time(request, self._implementers.all())
        if installation not in {each.installation.id for each in known}:
            raise InstallationUnknown(installation)
        result = (await self._conduct(request, [installation]))[installation]
        if isinstance(result, Answered):
            return result.value
        if isinstance(result, NotCalled):
            result = ExtensionFailure(installation, FailureKind.NOT_CALLED, result.sentence)
        raise ExtensionFailed(request.name, result)

    def stop(self) -> None:
        """Nothing is called from now on; what has begun goes on until its deadline. May be called twice."""
        self._stopped = True

    async def settled(self) -> None:
        """Until no call goes on; they end with their workers at the latest."""
        await self._tasks.settled()

    def _request(self, method: Any, arguments: tuple[Any, ...], timeout: timedelta | None) -> Request:
        try:
            point, typed = method_of(method)
        except ContractInvalid as error:
            raise ExtensionPointUnknown(f"{error}.") from error
        name = f"{point.name}.{typed.name}"
        if self._judge.points.get(point.name) is not point:
            source = point.contract.source.__name__
            raise ExtensionPointUnknown(
                f"{name} is of no extension point of this host. Declare it: Host(..., extension_points=[{source}])."
            )
        if self._stopped:
            raise ExtensionsStopped(name)
        data = typed.request(typed.bound(*arguments)).SerializeToString()
        if len(data) > MAX_BYTES:
            raise ValueUnfit(
                f"{name}: the arguments", f"they take {len(data):,} bytes, and at most {MAX_BYTES:,} cross"
            )
        wait = self._limits.timeout if timeout is None else timeout
        return Request(point, typed, data, wait, self._clock.elapsed() + wait)

    async def _names(
        self, request: Request, among: Collection[InstallationId] | None, start: bool
    ) -> list[InstallationId]:
        names = await self._in_time(request, self._implementers.of(request.point.name))
        return [name for name in names if (among is None or name in among) and (start or self._ready(name))]

    async def _in_time(self, request: Request, looked_up: Awaitable[Found]) -> Found:
        """Raises StoreFailed when the time is over before."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as bound:
                left = request.until - self._clock.elapsed()
                alarm = self._clock.call_later(left, lambda: bound.reschedule(loop.time()))
                try:
                    return await looked_up
                finally:
                    alarm.cancel()
        except TimeoutError as error:
            raise StoreFailed(f"it has not answered within {request.timeout.total_seconds():g} s") from error

    async def _conduct(
        self, request: Request, names: Iterable[InstallationId], enough: Callable[[Result], bool] = lambda _: False
    ) -> dict[InstallationId, Result]:
        """In the order in which they ended, and those that have not at the end; up to the first that is ``enough``."""
        calls = {name: Call(request, name) for name in names}
        tasks = {
            self._tasks.start(self._calls.make(call), f"{name} {request.name}"): name for name, call in calls.items()
        }
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        alarm = self._clock.call_later(request.until - self._clock.elapsed(), lambda: _ring(over))
        found: dict[InstallationId, Result] = {}
        try:
            while len(found) < len(tasks) and not over.done():
                waiting: set[asyncio.Future[Any]] = {task for task, name in tasks.items() if name not in found}
                done, _ = await asyncio.wait({*waiting, over}, return_when=asyncio.FIRST_COMPLETED)
                ended = {name: _result(task, calls[name]) for task, name in tasks.items() if task in done}
                for name, result in ended.items():
                    found[name] = self._told(request, result)
                if any(map(enough, ended.values())):
                    return found
            return found | {name: self._told(request, call.late()) for name, call in calls.items() if name not in found}
        finally:
            alarm.cancel()
            for task in tasks:
                task.cancel()

    def _told(self, request: Request, result: Result) -> Result:
        if isinstance(result, ExtensionFailure):
            self.counter.failed(request.point.name, result)
            self._tell(request.name, result)
        return result


def _result(task: asyncio.Task[Result], call: Call) -> Result:
    if task.cancelled():
        return call.failed(FailureKind.CRASHED, "Its worker was stopped under the call.")
    return task.result()


def _is_answer(result: Result) -> bool:
    return isinstance(result, Answered) and result.value is not None


def _failures(found: dict[InstallationId, Result]) -> tuple[ExtensionFailure, ...]:
    return tuple(result for _, result in sorted(found.items()) if isinstance(result, ExtensionFailure))


def _ring(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
