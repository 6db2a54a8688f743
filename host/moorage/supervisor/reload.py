"""A reload: another version, or another configuration, in the place of the one that runs, and nothing is lost.

``beside``: the new workers start while the old ones serve. They are asked how they are; then, from one moment to the
next, sessions go to them, and the old ones go when their executions have ended. Until that moment everything can be
taken back, for nothing was changed.

``in_turn``, for what cannot be there twice: sessions wait, the old workers come to their end, the private data is
copied, the new workers start on it. When they do not, the data is brought back, and the old version with it.

What is stored changes in one step, ``commit``, after the new workers are ready and before they serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from moorage.clock import Clock
from moorage.errors import MoorageError
from moorage.models.incarnation import Verdict, VerdictKind
from moorage.models.installation import Installation
from moorage.models.manifest import Manifest, ReloadMode
from moorage.models.reload import ReloadReport
from moorage.supervisor import desired
from moorage.supervisor.errors import NotRunnable, ReloadFailed, StartFailed
from moorage.supervisor.incarnation import Incarnation
from moorage.supervisor.keeper import Keeper
from moorage.supervisor.runs import VERDICT_TIMEOUT
from moorage.supervisor.snapshot import Snapshot, SnapshotFailed, Snapshots
from moorage_proto.errors import CallError, Reason

log = logging.getLogger(__name__)

Result = TypeVar("Result")

Progress = Callable[[str], None]

_STAYS = "It stays stopped."

#: What drains has its executions' own timeouts, which end it earlier.
AS_LONG_AS_IT_TAKES = timedelta(days=365)


@dataclass(frozen=True)
class ReloadOrder:
    target: Installation
    mode: ReloadMode
    #: Writes down that the target is what is installed. Raises what keeps it from being so.
    commit: Callable[[], Awaitable[None]]
    #: The other way round, when the new workers ended in the very moment in which they should have begun to serve.
    withdraw: Callable[[], Awaitable[None]]
    progress: Progress


def mode_of(old: Manifest, new: Manifest, asked: ReloadMode | None) -> ReloadMode:
    """A person's word counts before the plugin's. Pure.

    Where either version has something that cannot be there twice they must not meet.
    """
    if asked is not None:
        return asked
    if new.reload is not None:
        return new.reload
    alone = any(manifest.private_data or manifest.exclusive for manifest in (old, new))
    return "in_turn" if alone else "beside"


class Reload:
    """One reload of an installation that runs, or would if it could. Used once."""

    def __init__(
        self,
        keeper: Keeper,
        order: ReloadOrder,
        snapshots: Snapshots,
        clock: Clock,
        hold: Callable[[str], Awaitable[None]],
    ) -> None:
        """``hold`` keeps the installation stopped, with a reason, until a person releases it. It never fails."""
        self._hold = hold
        self._keeper = keeper
        self._order = order
        self._snapshots = snapshots
        self._clock = clock
        self._name = order.target.id
        self._source = keeper.installation
        self._old: tuple[Incarnation, ...] = ()
        self._states: tuple[bytes | None, ...] = ()
        self._drained: tuple[str, ...] = ()
        self._gap = timedelta()
        #: Of the private data, once it is taken.
        self._snapshot: Snapshot | None = None

    async def run(self) -> ReloadReport:
        """Returns when the new version serves and the old workers are gone.

        Raises ReloadFailed: everything is as it was, or on its way there. Cancelled, it takes back what it has done.
        """
        try:
            self._check_wanted()
        except NotRunnable as error:
            raise self._failed(error, _STAYS) from error
        if self._keeper.leaving:
            # One generation drains at a time.
            self._tell(f"waiting until {_numbers(self._keeper.leaving)} has come to its end")
            await self._keeper.left()
        self._old = self._keeper.ready
        fresh = await (self._beside() if self._order.mode == "beside" else self._in_turn())
        await self._keeper.left()
        return ReloadReport(
            installation=self._name,
            mode=self._order.mode,
            from_version=self._source.manifest.version,
            to_version=self._order.target.manifest.version,
            old=tuple(incarnation.status.number for incarnation in reversed(self._old)),
            new=tuple(incarnation.status.number for incarnation in fresh),
            drained=self._drained,
            gap=self._gap,
        )

    # -- beside --------------------------------------------------------------------------------------------------

    async def _beside(self) -> Sequence[Incarnation]:
        fresh: list[Incarnation] = []
        try:
            self._states = await self._exported()
            await self._prepare(fresh, "beside the old one")
            await self._commit()
            await self._adopt(fresh)
        except BaseException as error:
            await asyncio.shield(self._abandon(fresh))
            if isinstance(error, Exception):
                raise self._failed(error, self._if_it_may("What ran before goes on.")) from error
            raise
        self._tell_drain()
        return fresh

    # -- in turn -------------------------------------------------------------------------------------------------

    async def _in_turn(self) -> Sequence[Incarnation]:
        began = self._clock.elapsed()
        async with self._keeper.paused(f"{self._name} is reloaded in turn"):
            try:
                fresh = await self._replaced()
            finally:
                self._gap = self._clock.elapsed() - began
        return fresh

    async def _replaced(self) -> Sequence[Incarnation]:
        self._drained = _executions(self._old)
        self._tell(f"new executions wait; finishing {_ends(self._drained)}")
        try:
            await self._keeper.drained()
            self._states = await self._exported()
            self._check_wanted()
        except Exception as error:
            raise self._failed(error, self._if_it_may("What ran before goes on.")) from error
        self._tell("stopping the old version")
        await self._keeper.retire("a reload in turn", timedelta())
        fresh: list[Incarnation] = []
        try:
            await self._begin_trial()
            await self._prepare(fresh, "in its place")
            await self._commit()
            await self._adopt(fresh)
        except BaseException as error:
            # Not to be cut short by whoever waits no longer: the old version would be without its data.
            then = await asyncio.shield(self._bring_back(fresh))
            if isinstance(error, Exception):
                raise self._failed(error, then) from error
            raise
        await self._forget_trial()
        return fresh

    async def _begin_trial(self) -> None:
        """The copy is noted where it is made, so that it is known however the waiting for it ends."""

        def begin() -> None:
            self._snapshot = self._snapshots.take(self._source)
            self._snapshots.begin_trial(self._snapshot, self._order.target)

        self._tell("copying the private data")
        await _in_thread(begin)

    async def _bring_back(self, fresh: Sequence[Incarnation]) -> str:
        """The keeper is paused still; what waits for a worker gets the old version's. Returns how things stand now."""
        await self._abandon(fresh)
        if (snapshot := self._snapshot) is not None:
            try:
                await _in_thread(lambda: self._snapshots.restore(snapshot))
            except SnapshotFailed as error:
                log.exception("%s: after a reload that failed its data could not be brought back", self._name)
                # The trial stays noted down: whoever releases it, or the next start of the host, tries again. Until
                # then nothing may run on data that another version has touched.
                await self._hold(f"after a reload that failed its data could not be brought back. {error.problem}")
                return (
                    "Its private data could not be brought back, so nothing runs on it, and it is held. Mend what the"
                    f" host's log tells, then: moorage release {self._name}"
                )
            await self._forget_trial()
        return self._if_it_may(await self._back())

    async def _back(self) -> str:
        """The old version, with what it had in memory; where it may not run any more, nothing."""
        if not self._may_run:
            return ""
        back: list[Incarnation] = []
        try:
            for state in self._states or (None,):
                incarnation = await self._keeper.prepare(self._source, state=state)
                back.append(incarnation)
            await self._keeper.adopt(back)
        except Exception as error:  # noqa: BLE001 - whatever it is, the keeper starts the old version as after a crash
            log.warning(
                "%s: after a reload that failed its old version did not come back at once: %s", self._name, error
            )
            await self._abandon(back)
            return f"Its data is as it was; the version before it starts again, and is not up yet: {error}"
        return "The version before it is back, with its data."

    async def _forget_trial(self) -> None:
        def forget() -> None:
            self._snapshots.end_trial(self._name)
            self._snapshots.prune(self._name)

        try:
            await _in_thread(forget)
        except OSError:
            log.exception("%s: copies of its data that are no longer needed could not be removed", self._name)

    # -- steps of both -------------------------------------------------------------------------------------------

    async def _exported(self) -> tuple[bytes | None, ...]:
        """One state for each old worker, oldest first. Raises ReloadFailed."""
        states = []
        for incarnation in reversed(self._old):
            try:
                states.append(await incarnation.export_state())
            except CallError as error:
                if error.reason == Reason.LINK_CLOSED or not incarnation.ready:
                    # It died; what it had in memory went with it.
                    states.append(None)
                    continue
                stop = f"To reload without its state, stop it first: moorage stop {self._name}"
                verdict = Verdict(VerdictKind.LOAD_FAILED, f"{error.message} {stop}", traceback=_traceback(error))
                raise StartFailed(self._name, verdict) from error
        return tuple(states)

    async def _prepare(self, fresh: list[Incarnation], where: str) -> None:
        """As many as are wanted, one after the other, each healthy before the next starts."""
        target = self._order.target
        for number in range(max(1, self._keeper.installation.desired.replicas)):
            self._tell(f"starting {target.manifest.version} {where}")
            state = self._states[number] if number < len(self._states) else None
            incarnation = await self._keeper.prepare(target, state=state)
            fresh.append(incarnation)
            self._tell(f"#{incarnation.status.number} is ready; asking how it is")
            await self._check_health(incarnation)

    async def _check_health(self, incarnation: Incarnation) -> None:
        try:
            health = await incarnation.health()
        except CallError as error:
            if error.reason == Reason.LINK_CLOSED:
                # The verdict of a dead worker tells more, and comes a moment later.
                raise StartFailed(self._name, await _verdict(incarnation)) from error
            sentence = f"#{incarnation.status.number} does not say how it is: {error.message}"
            raise StartFailed(self._name, Verdict(VerdictKind.UNHEALTHY, sentence)) from error
        if not health.healthy:
            sentence = (
                f"#{incarnation.status.number} says that it is not well: {health.message or 'no reason was given'}."
            )
            raise StartFailed(self._name, Verdict(VerdictKind.UNHEALTHY, sentence))

    async def _commit(self) -> None:
        """Not to be left halfway: what was written down, and is not to be, is withdrawn."""
        self._check_wanted()
        self._tell(f"{self._order.target.manifest.version} takes over")
        committing = asyncio.ensure_future(self._order.commit())
        try:
            await asyncio.shield(committing)
        except asyncio.CancelledError:
            await asyncio.wait((committing,))
            if committing.exception() is None:
                await asyncio.shield(self._order.withdraw())
            raise

    @property
    def _obstacle(self) -> str:
        """Why there is nothing to reload for any more. That the old code is in quarantine is none to other code."""
        source, target = self._keeper.installation, self._order.target
        wanted = source.desired
        if target.code_hash != source.code_hash:
            wanted = replace(wanted, quarantined="")
        obstacle = desired.obstacle(self._name, wanted)
        return obstacle or ("" if self._keeper.wanted else "it was stopped while it was reloaded")

    def _check_wanted(self) -> None:
        if self._obstacle:
            raise NotRunnable(self._name, self._obstacle)

    async def _adopt(self, fresh: Sequence[Incarnation]) -> None:
        """What was committed is withdrawn when the new workers are not there any more to be adopted."""
        if self._order.mode == "beside":
            self._drained = _executions(self._old)
        try:
            self._check_wanted()
            await self._keeper.adopt(fresh, AS_LONG_AS_IT_TAKES)
        except BaseException:
            await asyncio.shield(self._order.withdraw())
            raise

    async def _abandon(self, fresh: Sequence[Incarnation]) -> None:
        await asyncio.gather(*(incarnation.stop("its reload was given up", timedelta()) for incarnation in fresh))

    def _tell_drain(self) -> None:
        if self._drained:
            self._tell(f"{_numbers(self._old)} finishes {_ends(self._drained)}")

    def _failed(self, error: Exception, then: str) -> ReloadFailed:
        version = self._order.target.manifest.version
        if isinstance(error, StartFailed):
            return ReloadFailed(self._name, version, error.verdict.sentence, then, error.verdict)
        known = isinstance(error, MoorageError)
        problem = str(error) if known else f"The host failed: {type(error).__name__}: {error}"
        return ReloadFailed(self._name, version, _sentence(problem), then)

    @property
    def _may_run(self) -> bool:
        return self._keeper.wanted and not self._keeper.obstacle

    def _if_it_may(self, then: str) -> str:
        return then if self._may_run else _STAYS

    def _tell(self, sentence: str) -> None:
        self._order.progress(f"{self._name}: {sentence}")


async def _in_thread(work: Callable[[], Result]) -> Result:
    """What was begun is waited for, also when the waiting is cancelled: the disk does not stop halfway."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait((working,))
        raise


async def _verdict(incarnation: Incarnation) -> Verdict:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(VERDICT_TIMEOUT.total_seconds()):
            return await incarnation.wait()
    return Verdict(VerdictKind.LINK_LOST, f"#{incarnation.status.number} ended its link when it was asked how it is.")


def _executions(incarnations: Iterable[Incarnation]) -> tuple[str, ...]:
    return tuple(execution for incarnation in incarnations for execution in incarnation.executions)


def _numbers(incarnations: Iterable[Incarnation]) -> str:
    return ", ".join(f"#{incarnation.status.number}" for incarnation in incarnations)


def _ends(executions: Sequence[str]) -> str:
    """With what may, or will, come to its end."""
    return "1 execution" if len(executions) == 1 else f"{len(executions)} executions"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _traceback(error: CallError) -> str:
    return error.task.traceback if error.task is not None else ""
