"""Keeps the workers of one installation as they are wanted.

Whatever happens (someone needs a worker, one is ready, one died, the desired state changed, an alarm rang) pokes the
keeper. It then compares what is wanted with what is there (``reconcile``), and does what follows. All of that happens
on the event loop's thread without waiting; what takes time is a task for each worker, which pokes when it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from moorage.clock import Alarm, Clock
from moorage.errors import Conflict, NotFound
from moorage.models.incarnation import Verdict, VerdictKind
from moorage.models.installation import DesiredState, Installation, InstallationId
from moorage.models.manifest import Manifest
from moorage.owned import OwnedTasks
from moorage.store.errors import StoreFailed
from moorage.supervisor import desired, reconcile, restarts
from moorage.supervisor.desired import Quarantine
from moorage.supervisor.errors import NotRunnable, StartFailed, WorkerLost
from moorage.supervisor.incarnation import Incarnation
from moorage.supervisor.member import Ended, Member
from moorage.supervisor.orders import Commission
from moorage.supervisor.reconcile import Observed, Phase, Wanted
from moorage.supervisor.widening import widening_of
from moorage_proto.capability import Grants

log = logging.getLogger(__name__)

#: Makes an incarnation that has not begun to start.
Make = Callable[[Commission], Awaitable[Incarnation]]


@dataclass(frozen=True)
class Means:
    """What a keeper needs of its supervisor."""

    make: Make
    #: Puts the installation in quarantine: stored, announced, and told to the keeper.
    quarantine: Callable[[InstallationId, Quarantine], Awaitable[object]]
    clock: Clock
    policy: restarts.Policy
    idle_stop: timedelta | None = None
    #: 0.0 to 1.0.
    luck: Callable[[], float] = random.random


@dataclass(eq=False)
class _Waiter:
    """Somebody who needs a ready worker."""

    #: True: it is lent to him.
    lent: bool
    answer: asyncio.Future[Incarnation] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Keeper:
    """The one who starts and stops workers of one installation. Used by the supervisor, and by reloads."""

    def __init__(self, installation: Installation, means: Means) -> None:
        self.name = installation.id
        self._installation = installation
        self._means = means
        self._clock = means.clock
        self._members: list[Member] = []
        self._numbers = itertools.count(1)
        self._waiters: list[_Waiter] = []
        self._tasks = OwnedTasks()
        #: Whether somebody wants it up, and whether it has been ready since it was first wanted.
        self._up = self._proved = False
        self._because = "nobody wants it"
        self._history = restarts.History()
        self._rest_until: timedelta | None = None
        #: Why the last start came to no worker at all, as a sentence; empty: it did not, or that is over.
        self.problem = ""
        self._idle_since: timedelta | None = None
        #: A quarantine is being written down.
        self._judged = False
        self._pauses = 0
        #: The newest that were told, for each manifest; of others those count that the store had at the start.
        self._grants: tuple[tuple[Manifest, Grants], ...] = ()
        #: Grows with each version that is adopted.
        self._generation = 0
        self._turns = itertools.count(1)
        self._poked = False
        self._alarm: Alarm | None = None

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def installation(self) -> Installation:
        """What the next worker runs."""
        return self._installation

    @property
    def wanted(self) -> bool:
        """Whether it is kept up, or would be if its desired state let it."""
        return self._up

    @property
    def obstacle(self) -> str:
        """Why it may not run; empty: it may."""
        return desired.obstacle(self.name, self._installation.desired)

    @property
    def incarnations(self) -> tuple[Incarnation, ...]:
        """All that live or are on their way out, newest first."""
        return tuple(member.incarnation for member in reversed(self._members) if member.incarnation is not None)

    @property
    def ready(self) -> tuple[Incarnation, ...]:
        """Those that take sessions."""
        return tuple(incarnation for incarnation in self.incarnations if self._member(incarnation).takes_sessions)

    @property
    def leaving(self) -> tuple[Incarnation, ...]:
        """Those that were sent off, and are not gone."""
        return tuple(each for each in self.incarnations if self._member(each).phase is Phase.LEAVING)

    @property
    def rest(self) -> timedelta | None:
        """How long it rests before the next start; None: it does not."""
        if self._rest_until is None or not self._up:
            return None
        left = self._rest_until - self._clock.elapsed()
        return left if left > timedelta() else None

    def know(self, installation: Installation) -> None:
        """Another version or configuration: new workers run it. Its desired state is the one known here."""
        before = self._installation
        self._installation = replace(installation, desired=before.desired)
        if before.code_hash != installation.code_hash:
            self._acquit()
        self.poke()

    def desire(self, wanted: DesiredState) -> None:
        """As it is stored now."""
        before = self._installation.desired
        self._installation = replace(self._installation, desired=wanted)
        if before.quarantined and not wanted.quarantined:
            self._acquit()
        self.poke()

    def _acquit(self) -> None:
        self._history, self._rest_until = restarts.History(), None

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Of all versions that its workers run, or will: in a reload there are two."""
        found: list[Manifest] = []
        for manifest in (self._installation.manifest, *(member.manifest for member in self._members)):
            if manifest not in found:
                found.append(manifest)
        return tuple(found)

    def set_grants(self, told: Sequence[tuple[Manifest, Grants]]) -> None:
        """For each manifest: its workers' calls are decided by these from now on, and a worker whose sandbox does not
        fit them is replaced.
        """
        if self._grants and told and told[0][1].epoch < self._grants[0][1].epoch:
            return
        self._grants = tuple(told)
        # It may have been a grant.
        self.problem = ""
        for member in self._members:
            self._regrant(member)
        self.poke()

    def _regrant(self, member: Member) -> None:
        """One that starts may have been made before the newest grants were known."""
        incarnation = member.incarnation
        grants = next((grants for manifest, grants in self._grants if manifest == member.manifest), None)
        if incarnation is not None and grants is not None and grants.epoch > incarnation.grants.epoch:
            incarnation.set_grants(grants)
            fits = widening_of(grants) == incarnation.widening
            member.outdated = "" if fits else "its sandbox was made for other grants"

    # -- who needs a worker --------------------------------------------------------------------------------------

    async def start(self) -> Incarnation:
        """A ready one, for a person: at once, also while the keeper rests.

        Raises NotRunnable, StartFailed, SandboxFailed.
        """
        self._check()
        self._rest_until = None
        self._want()
        chosen = self._least_loaded()
        return chosen if chosen is not None else await self._wait(_Waiter(lent=False))

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Incarnation]:
        """A ready one, lent: a planned stop waits for its end. Raises as ``start``."""
        incarnation = await self._lend()
        try:
            yield incarnation
        finally:
            self._give_back(incarnation)

    async def _lend(self) -> Incarnation:
        self._check()
        chosen = None if self._pauses else self._least_loaded()
        if chosen is None:
            return await self._wait(_Waiter(lent=True))
        self._up = True
        self._enter(chosen)
        return chosen

    async def _wait(self, waiter: _Waiter) -> Incarnation:
        self._waiters.append(waiter)
        self._want()
        try:
            return await waiter.answer
        except asyncio.CancelledError:
            self._forget(waiter)
            raise

    def _forget(self, waiter: _Waiter) -> None:
        """He left; what was lent to him in the same moment is given back."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif not waiter.answer.cancelled():
            error = waiter.answer.exception()
            if error is None and waiter.lent:
                self._give_back(waiter.answer.result())

    def _want(self) -> None:
        self._up = True
        self.poke()

    def _check(self) -> None:
        if self.obstacle:
            raise NotRunnable(self.name, self.obstacle)

    def _enter(self, incarnation: Incarnation) -> None:
        incarnation.enter()
        self._member(incarnation).turn = next(self._turns)

    def _give_back(self, incarnation: Incarnation) -> None:
        incarnation.leave()
        if not incarnation.sessions:
            self._idle_since = self._clock.elapsed()
            self.poke()

    def _least_loaded(self) -> Incarnation | None:
        """The ready one with the fewest sessions, in turn."""
        ready = [member for member in self._members if member.takes_sessions and not member.outdated]
        if not ready:
            return None
        return min(ready, key=lambda member: (member.load, member.turn)).incarnation

    # -- ends that somebody plans --------------------------------------------------------------------------------

    async def stop(self, reason: str) -> Ended:
        """Drains and stops; it is not wanted until somebody asks for it again. Returns when nothing of it is left."""
        self._unwanted(reason)
        return await self.retire(reason)

    async def kill(self, reason: str) -> Ended:
        """At once, also where a stop waits for the plugin."""
        self._unwanted(reason)
        killed = await asyncio.gather(*(member.kill(reason) for member in tuple(self._members)))
        return Ended.of(killed)

    def retire(self, reason: str, drain: timedelta | None = None) -> Awaitable[Ended]:
        """Sends off all that there are now, those that start included, and changes nothing of what is wanted.

        For one who has paused the keeper, or changed its desired state. They have been sent off when this returns, and
        are gone when what it returns has been waited for.
        """
        return _ended([member.leave(reason, drain) for member in self._members])

    def _unwanted(self, reason: str) -> None:
        self._up = self._proved = False
        self.problem = ""
        self._because = reason
        self._rest_until = None
        self._refuse(NotRunnable(self.name, "it was stopped while it started"))
        self.poke()

    def _refuse(self, error: BaseException, *, lent: bool = True) -> None:
        """All who wait; or, without those to whom one would be lent, persons alone."""
        refused = [waiter for waiter in self._waiters if lent or not waiter.lent]
        self._waiters = [waiter for waiter in self._waiters if waiter not in refused]
        for waiter in refused:
            if not waiter.answer.done():
                waiter.answer.set_exception(error)

    # -- for reloads ---------------------------------------------------------------------------------------------

    async def prepare(
        self, installation: Installation, *, state: bytes | None = None, from_version: str = ""
    ) -> Incarnation:
        """A ready one of the given version that takes no sessions yet: ``adopt`` it, or stop it.

        Raises as ``start``; nothing of it is left then, and nothing is counted against the installation.
        """
        commission = Commission(installation, self._generation + 1, state, from_version)
        member = self._begin(commission, serving=False)
        try:
            return await asyncio.shield(member.started)
        except asyncio.CancelledError:
            await member.send_off("its reload was given up")
            raise

    async def adopt(self, fresh: Sequence[Incarnation], drain: timedelta | None = None) -> None:
        """From this moment the prepared ones take new sessions, and the others none.

        The others drain for so long at most (None: their own drain timeout) and stop. Returns at once; ``left`` waits
        for them. Raises StartFailed when one of the prepared ones has ended meanwhile; nothing has changed then.
        """
        for incarnation in fresh:
            if not incarnation.ready:
                raise StartFailed(self.name, await incarnation.wait())
        chosen = [self._member(incarnation) for incarnation in fresh]
        for member in self._members:
            if member.serving and member not in chosen:
                member.send_off(_replaced_by(fresh), drain)
        for member in chosen:
            member.serving = True
        if fresh:
            self._generation += 1
            self.know(fresh[-1].installation)
        self._proved = True
        self._idle_since = self._clock.elapsed()
        self._want()

    async def left(self) -> None:
        """Until all that have been sent off are gone."""
        leaving = [member.life for member in self._members if member.phase is Phase.LEAVING]
        if leaving:
            await asyncio.wait(leaving)

    @contextlib.asynccontextmanager
    async def paused(self, reason: str) -> AsyncIterator[None]:
        """Sessions wait, and the keeper neither starts nor replaces anything. The reason is for the host's log."""
        log.info("%s: sessions wait: %s", self.name, reason)
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            self.poke()

    async def drained(self, timeout: timedelta | None = None) -> bool:
        """Waits until no session is open. False: there still are some after that time."""
        seconds = None if timeout is None else timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(incarnation.free() for incarnation in self.incarnations))
        except TimeoutError:
            return False
        return True

    # -- the loop ------------------------------------------------------------------------------------------------

    def poke(self) -> None:
        """Something has happened. Several in one turn of the event loop are looked at together."""
        if not self._poked:
            self._poked = True
            asyncio.get_running_loop().call_soon(self._reconcile)

    def _reconcile(self) -> None:
        self._poked = False
        now = self._clock.elapsed()
        actions = reconcile.decide(self._wanted(), self._observed(), now)
        for action in actions:
            self._do(action)
        wakes = [action.at for action in actions if isinstance(action, reconcile.Wake)]
        self._silence()
        if wakes:
            self._alarm = self._clock.call_later(min(wakes) - now, self.poke)

    def _wanted(self) -> Wanted:
        wanted = self._installation.desired
        obstacle = desired.obstacle(self.name, wanted)
        return Wanted(
            up=self._up,
            replicas=wanted.replicas,
            obstacle=obstacle,
            because=desired.stop_reason(wanted) if obstacle else self._because,
            idle_stop=self._means.idle_stop,
        )

    def _observed(self) -> Observed:
        return Observed(
            workers=tuple(member.seen for member in self._members if member.serving),
            waiting=len(self._waiters),
            paused=self._pauses > 0 or self._judged,
            rest_until=self._rest_until,
            idle_since=self._idle_since,
        )

    def _do(self, action: reconcile.Action) -> None:
        if isinstance(action, reconcile.Refuse):
            self._refuse(NotRunnable(self.name, action.obstacle))
        elif isinstance(action, reconcile.Serve):
            self._serve()
        elif isinstance(action, reconcile.Start):
            for _ in range(action.count):
                self._begin(Commission(self._installation, self._generation))
        elif isinstance(action, reconcile.Stop):
            patience = self._installation.manifest.limits.timeout if action.patient else None
            self._by_key(action.key).send_off(action.reason, patience)
        elif isinstance(action, reconcile.Idle):
            self._up = self._proved = False
            self._because = "idle"

    def _serve(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            chosen = self._least_loaded()
            if chosen is not None and not waiter.answer.done():
                if waiter.lent:
                    self._enter(chosen)
                waiter.answer.set_result(chosen)

    def _silence(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # -- one worker ----------------------------------------------------------------------------------------------

    def _begin(self, commission: Commission, *, serving: bool = True) -> Member:
        member = Member(commission.installation, next(self._numbers), serving=serving)
        self._members.append(member)

        async def make() -> Incarnation:
            return await self._means.make(commission)

        member.life = self._tasks.start(self._live(member, make), f"{self.name} worker {member.key}")
        member.life.add_done_callback(lambda _: self._over(member))
        return member

    async def _live(self, member: Member, make: Callable[[], Awaitable[Incarnation]]) -> None:
        """From the decision to start until nothing is left."""
        try:
            incarnation = await member.bring_up(make)
        except Exception as error:  # noqa: BLE001 - it is told to those who wait for the worker
            self._failed(member, error)
            return
        self.problem = ""
        self._regrant(member)
        member.ready_since = self._idle_since = self._clock.elapsed()
        self._proved = self._proved or member.serving
        self.poke()
        verdict = await incarnation.wait()
        past_host = member.serving and not member.sent_off and verdict.kind is VerdictKind.KILLED_BY_OPERATOR
        if past_host and not self._waiters:
            # It is not to come back before somebody needs it, as after any kill.
            self._unwanted("a person killed it")
        self._judge(member, verdict)

    def _over(self, member: Member) -> None:
        """Nothing of it is left; also of one that was given up before its first step."""
        member.failed(NotRunnable(self.name, "it was stopped while it started"))
        self._members.remove(member)
        self.poke()

    def _failed(self, member: Member, error: Exception) -> None:
        """Its start came to nothing. Those who wait are told, unless another worker may serve them, or the next one."""
        verdict = _verdict_on(error)
        self._judge(member, verdict)
        if not member.serving or member.sent_off:
            return
        if any(other.serving and other.phase is not Phase.LEAVING for other in self._members if other is not member):
            return
        if verdict.kind is VerdictKind.KILLED_BY_OPERATOR:
            self._unwanted("a person killed it")
            return
        if self._waiters and self._is_worth_waiting(error, verdict):
            if isinstance(error, StoreFailed):
                # A person can mend that; work cannot.
                self._refuse(error, lent=False)
            return
        self.problem = "" if isinstance(error, StartFailed) else str(error)
        self._refuse(error)
        if isinstance(error, (Conflict, NotFound)):
            # It may not run; waiting would not change that.
            self._up = self._proved = False
            self._history = replace(self._history, streak=0)
            self._rest_until = None
        self._up = self._proved

    def _is_worth_waiting(self, error: Exception, verdict: Verdict) -> bool:
        """What ended that start was not of the plugin's making, and has not happened too often in a row."""
        fleeting = isinstance(error, (WorkerLost, StoreFailed)) or restarts.from_outside(verdict)
        return fleeting and self._history.streak <= self._means.policy.restarts

    def _judge(self, member: Member, verdict: Verdict) -> None:
        """What follows from an end. How one goes that was told to is no news, unless it did what nobody may."""
        if not member.serving or (member.sent_off and not restarts.unforgivable(verdict)):
            return
        now = self._clock.elapsed()
        was_ready = timedelta() if member.ready_since is None else now - member.ready_since
        decision = restarts.after_end(
            self._history, verdict, self._means.policy, at=now, was_ready=was_ready, luck=self._means.luck()
        )
        self._history = decision.history
        if decision.quarantine and not self._judged:
            self._judged = True
            self._tasks.start(self._quarantine(Quarantine(decision.quarantine)), f"{self.name} quarantine")
        elif decision.delay:
            self._rest_until = now + decision.delay

    async def _quarantine(self, change: Quarantine) -> None:
        try:
            await self._means.quarantine(self.name, change)
        except Exception:
            log.exception("%s: its quarantine could not be stored; it counts until the host stops", self.name)
            self._quarantined_in_memory(change)
        finally:
            self._judged = False
            self.poke()

    def _quarantined_in_memory(self, change: Quarantine) -> None:
        self.desire(desired.after(self._installation.desired, change))

    def _member(self, incarnation: Incarnation) -> Member:
        return next(member for member in self._members if member.incarnation is incarnation)

    def _by_key(self, key: int) -> Member:
        return next(member for member in self._members if member.key == key)


async def _ended(leaving: Sequence[Awaitable[Ended]]) -> Ended:
    return Ended.of(await asyncio.gather(*leaving))


def _verdict_on(error: Exception) -> Verdict:
    """On a start that raised it. What the store or the machine did is no fault of the plugin's."""
    if isinstance(error, (StartFailed, WorkerLost)):
        return error.verdict
    return Verdict(VerdictKind.SANDBOX_FAILED, str(error))


def _replaced_by(fresh: Sequence[Incarnation]) -> str:
    return "replaced by " + ", ".join(f"#{incarnation.status.number}" for incarnation in fresh)
