"""Whether a ready worker answers, and what is done when it does not. Deciding is pure; the task at the end is thin.

Asked is the plugin's own loop, through its health hook. When that does not answer in time, the SDK's link loop is asked
too: it has a thread of its own, and is silent only when native code holds the interpreter's lock or the process stands
still. What the kernel says of the CPU time tells a worker that computes from one that waits.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from moorage.clock import Clock, sleep
from moorage.models.attachment import Health
from moorage.models.health import Condition, ConditionKind
from moorage.models.incarnation import Verdict, VerdictKind
from moorage.supervisor.stacks import Stack
from moorage.telemetry.plain import cut, neutralise
from moorage_proto.errors import CallError, Reason, Status

log = logging.getLogger(__name__)

#: Of one core, while it does not answer; a worker that waits uses none.
BUSY_SHARE = 0.02

#: How long the link's loop may take, once the plugin's has not answered.
PING_TIMEOUT = timedelta(seconds=1)

#: Characters kept of what a plugin says of its own health.
MESSAGE_LIMIT = 500


@dataclass(frozen=True)
class HealthPolicy:
    #: Between two looks at one worker.
    interval: timedelta = timedelta(seconds=10)
    #: How long the plugin's loop may take to answer.
    timeout: timedelta = timedelta(seconds=5)
    #: A worker that has not answered for so long is killed; zero: never.
    silence_limit: timedelta = timedelta(minutes=5)
    #: A worker that has been unhealthy for so long is stopped; zero: it is shown only.
    unhealthy_limit: timedelta = timedelta(0)


@dataclass(frozen=True)
class Processing:
    """What the kernel tells of a process."""

    cpu_seconds: float
    #: By a signal, as SIGSTOP does.
    stopped: bool


@dataclass(frozen=True)
class Look:
    """One look at a worker."""

    began: datetime
    #: The plugin's own opinion; None: its loop did not answer in time.
    health: Health | None
    #: The SDK's link loop answered.
    linked: bool = True
    #: CPU time over time, of one core, while nothing answered.
    cpu_share: float = 0.0
    stopped: bool = False


def after(before: Condition, look: Look) -> Condition:
    """The condition that a look finds, with the time since when it is so, and the stack taken at its beginning."""
    kind, message = _judged(look)
    if alike(before.kind, kind):
        return replace(before, kind=kind, message=message)
    return Condition(kind, look.began, message)


def alike(one: ConditionKind, other: ConditionKind) -> bool:
    """Whether it computes or waits may change from look to look: it does not answer since the first."""
    return one is other or not (one.answers or other.answers)


def _judged(look: Look) -> tuple[ConditionKind, str]:
    if look.health is not None:
        if look.health.healthy:
            return ConditionKind.ANSWERING, ""
        return ConditionKind.UNHEALTHY, cut(neutralise(look.health.message), MESSAGE_LIMIT)
    if look.stopped:
        return ConditionKind.SILENT, "The process stands still: a signal stopped it (SIGSTOP)."
    if look.cpu_share >= BUSY_SHARE:
        where = "Its event loop does not turn" if look.linked else "Native code holds the interpreter's lock"
        return ConditionKind.BUSY, f"{where}; it burns {look.cpu_share:.0%} of a CPU."
    if look.linked:
        return ConditionKind.SILENT, "Its event loop waits in a call that blocks."
    return ConditionKind.SILENT, "Nothing in it answers, and it uses no CPU."


def overdue(condition: Condition, lasted: timedelta, policy: HealthPolicy) -> VerdictKind | None:
    """Why the worker must go now; None: it may stay. ``lasted``: for how long it has been so."""
    if not condition.kind.answers and policy.silence_limit and lasted >= policy.silence_limit:
        return VerdictKind.SILENT
    if condition.kind is ConditionKind.UNHEALTHY and policy.unhealthy_limit and lasted >= policy.unhealthy_limit:
        return VerdictKind.UNHEALTHY
    return None


def verdict_on(condition: Condition, kind: VerdictKind, lasted: timedelta) -> Verdict:
    seconds = f"{lasted.total_seconds():.0f} s"
    if kind is VerdictKind.UNHEALTHY:
        said = f" It said: {condition.message}" if condition.message else ""
        return Verdict(kind, f"Its own health check said no for {seconds}, and the host stopped it.{said}")
    where = f" It was at {condition.where}." if condition.where else ""
    sentence = f"It did not answer for {seconds}, and the host ended it. {condition.message}{where}"
    return Verdict(kind, sentence, stack=condition.stack)


def told(number: int, condition: Condition) -> str:
    """A line for the plugin's log."""
    if condition.kind is ConditionKind.ANSWERING:
        return f"#{number} answers, and is well again."
    if condition.kind is ConditionKind.UNHEALTHY:
        return f"#{number} is unhealthy: {condition.message or 'its health hook says no'}"
    where = f" It is at {condition.where}." if condition.where else ""
    return f"#{number} does not answer. {condition.message}{where}"


class Subject(Protocol):
    """The worker that is watched."""

    async def health(self, timeout: timedelta) -> Health:
        """Of the plugin's own loop. Raises CallError."""

    async def ping(self, timeout: timedelta) -> float:
        """Of the SDK's link loop, in seconds. Raises CallError."""

    def processing(self) -> Processing:
        """Raises OSError when the process is gone."""

    async def take_stack(self) -> Stack: ...

    async def condemn(self, verdict: Verdict) -> None:
        """Ends it: at once when it does not answer, politely otherwise."""


class HealthWatch:
    """Looks at one worker again and again, from ready to its end. Its owner runs ``run`` as a task."""

    def __init__(
        self,
        subject: Subject,
        policy: HealthPolicy,
        clock: Clock,
        on_change: Callable[[Condition], Awaitable[None]],
    ) -> None:
        """``on_change`` is told when it begins to answer or no longer does, and when its health changes."""
        self._subject = subject
        self._policy = policy
        self._clock = clock
        self._on_change = on_change
        self._held = 0
        self.condition = Condition(ConditionKind.ANSWERING, clock.now())
        #: The clock's ``elapsed`` at the first look that found it so.
        self._since = clock.elapsed()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody looks meanwhile: a developer has stopped the plugin at a breakpoint."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    async def run(self) -> None:
        """Until the worker is gone, or is ended for its silence."""
        while True:
            await sleep(self._clock, self._policy.interval)
            if self._held:
                continue
            try:
                verdict = await self.look()
            except (FileNotFoundError, ProcessLookupError):
                return  # gone; whoever waits for its end tells why
            except OSError as error:
                # The host has no descriptor to spare, say.
                log.warning("a worker's health could not be looked at: %s", error)
                continue
            if verdict is not None:
                await self._subject.condemn(verdict)
                return

    async def look(self) -> Verdict | None:
        """One look; a verdict when the worker must go. Raises OSError when the process is gone."""
        began = self._clock.elapsed()
        look = await self._look()
        if self._held or look is None:
            return None
        before, found = self.condition, after(self.condition, look)
        if not alike(before.kind, found.kind):
            self._since = began
        lasted = self._clock.elapsed() - self._since
        reason = overdue(found, lasted, self._policy)
        if not found.kind.answers and (before.kind.answers or reason or not found.stack):
            found = _with(found, await self._subject.take_stack())
        self.condition = found
        if not alike(before.kind, found.kind):
            await self._on_change(found)
        return verdict_on(found, reason, lasted) if reason else None

    async def _look(self) -> Look | None:
        """None: the link is going, and with it the worker."""
        began, start = self._clock.now(), self._clock.elapsed()
        before = self._subject.processing()
        try:
            return Look(began, await self._subject.health(self._policy.timeout))
        except CallError as error:
            if error.reason == Reason.LINK_CLOSED:
                return None
            if error.status != Status.DEADLINE_EXCEEDED:
                return Look(began, Health(False, error.message))
        linked = await self._linked()
        now, took = self._subject.processing(), (self._clock.elapsed() - start).total_seconds()
        share = (now.cpu_seconds - before.cpu_seconds) / took if took > 0 else 0.0
        return Look(began, None, linked, share, now.stopped)

    async def _linked(self) -> bool:
        try:
            await self._subject.ping(PING_TIMEOUT)
        except CallError:
            return False
        return True


def _with(condition: Condition, stack: Stack) -> Condition:
    """A stack that could not be taken again leaves the one before."""
    return replace(condition, stack=stack.text, where=stack.where) if stack.text else condition
