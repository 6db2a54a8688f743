"""Workers without processes: a launcher and a shard in memory, and real incarnations upon them."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from fake_clock import FakeClock

from moorage.models.attachment import Attachment, Health, Peer
from moorage.models.contributions import Contributions
from moorage.models.execution import Execution, ExecutionState, TaskOutcome
from moorage.models.incarnation import IncarnationState, Verdict, VerdictKind
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Limits, Manifest
from moorage.supervisor import desired
from moorage.supervisor.desired import Change
from moorage.supervisor.errors import SandboxFailed
from moorage.supervisor.incarnation import Incarnation
from moorage.supervisor.keeper import Keeper, Means
from moorage.supervisor.launch import Launch
from moorage.supervisor.launcher import WorkerOrder
from moorage.supervisor.lifecycle import Transition
from moorage.supervisor.orders import Commission
from moorage.supervisor.restarts import Policy
from moorage.supervisor.widening import widening_of
from moorage_proto.capability import Capability, Grants, parse
from moorage_proto.errors import CallError, Reason, Status

CRASH = Verdict(VerdictKind.EXITED, "The worker exited with code 3.")
NOWHERE = Path("/nonexistent")


def installation(**limits: Any) -> Installation:
    manifest = Manifest("churn", "1.0.0", "churn:plugin", limits=Limits(**limits))
    return Installation("churn", manifest, NOWHERE, NOWHERE, "abc", ("",), "key", desired=DesiredState())


class Silence:
    """An output capture of a worker that says nothing."""

    async def open(self) -> tuple[int, int]:
        return -1, -1

    def divert(self, _cut: object) -> None: ...

    def release_writers(self) -> None: ...

    def tail(self, _count: int) -> tuple[str, ...]:
        return ()

    def plain(self, text: str) -> str:
        return text

    def note(self, _sentence: str) -> None: ...

    def tell(self, _level: int, _message: str) -> None: ...

    async def ended(self) -> None: ...

    async def close(self) -> None: ...


class FakeWorker:
    """A process that dies when it is told to."""

    sandbox_level = "full"
    group = None
    out_of_memory = ""

    def __init__(self, world: World) -> None:
        self.pid = 0
        self._world = world
        self._verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        world.alive.add(self)

    def die(self, verdict: Verdict = CRASH) -> None:
        if not self._verdict.done():
            self._verdict.set_result(verdict)
            self._world.alive.discard(self)

    async def wait(self) -> Verdict:
        return await asyncio.shield(self._verdict)

    def terminate(self) -> None:
        self.die()

    def kill(self) -> None:
        self.die()

    def dump_stacks(self) -> None: ...

    def take_proxy(self) -> None: ...


class FakeLink:
    """The link of one worker; it ends with it."""

    calls = denied = 0

    def __init__(self, world: World, incarnation: str) -> None:
        self._world = world
        self.incarnation = incarnation
        self.worker: FakeWorker | None = None
        world.links.add(self)

    def uses(self, need: Capability) -> bool:
        return True

    def holdings(self) -> tuple[()]:
        return ()

    async def connected(self, timeout: timedelta) -> Peer:
        await asyncio.sleep(0)
        return Peer("7", "1.80")

    async def load(self, config: object, **_handover: object) -> Contributions:
        await self._world.may_load.wait()
        if self._world.fails_to_load:
            raise CallError(Status.INTERNAL, Reason.TASK_FAILED, "no plugin in it")
        return Contributions()

    def spent(self, execution: str) -> None:
        return None

    async def run(self, execution: Execution, timeout: timedelta) -> TaskOutcome:
        await self._world.work(execution)
        return TaskOutcome(ExecutionState.SUCCEEDED)

    async def health(self, timeout: timedelta) -> Health:
        return Health(healthy=True, message="")

    async def ping(self, timeout: timedelta) -> float:
        return 0.0

    async def export_state(self, timeout: timedelta) -> None:
        return None

    async def streams_ended(self, timeout: timedelta) -> None: ...

    async def unload(self, reason: str, timeout: timedelta) -> None:
        await asyncio.sleep(0)
        if self.worker is not None:
            self.worker.die(Verdict(VerdictKind.EXITED, "The worker exited with code 0.", exit_code=0))

    def set_grants(self, grants: Grants) -> None: ...

    async def tainted(self) -> str:
        return await asyncio.get_running_loop().create_future()

    async def lost(self) -> CallError:
        return await asyncio.get_running_loop().create_future()

    async def end(self) -> None:
        self._world.links.discard(self)


class SameThread(ThreadPoolExecutor):
    """What is handed to a thread is done at once: tests here count the loop's turns, and wait for no other clock."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*arguments, **named))
        except Exception as error:
            done.set_exception(error)
        return done


class World:
    """Launcher, shard, clock, and the keeper of one installation."""

    def __init__(self, policy: Policy | None = None, *, idle_stop: timedelta | None = None, **limits: Any) -> None:
        asyncio.get_running_loop().set_default_executor(SameThread())
        self.clock = FakeClock()
        self.alive: set[FakeWorker] = set()
        self.links: set[FakeLink] = set()
        self.transitions: list[Transition] = []
        self.most_alive = self.made = 0
        self.fails_to_load = self.lacks_sandbox = False
        self.may_launch, self.may_load = asyncio.Event(), asyncio.Event()
        self.may_launch.set()
        self.may_load.set()
        self.work: Callable[[Execution], Awaitable[None]] = self._done
        self.changes: list[Change] = []
        self.changed: Callable[[Transition], Awaitable[None]] = self._changed
        self.grants = Grants(())
        self._numbers = itertools.count(1)
        means = Means(self._make, self._quarantine, self.clock, policy or Policy(), idle_stop, luck=lambda: 1.0)
        self.keeper = Keeper(installation(**limits), means)

    # -- Launcher and Shard --------------------------------------------------------------------------------------

    async def start(self, order: WorkerOrder, *, timeout: timedelta) -> FakeWorker:
        await asyncio.sleep(0)
        await self.may_launch.wait()
        if self.lacks_sandbox:
            raise SandboxFailed.__new__(SandboxFailed)
        worker = FakeWorker(self)
        self.most_alive = max(self.most_alive, len(self.alive))
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            worker.kill()
            raise
        next(link for link in self.links if link.incarnation == order.incarnation).worker = worker
        return worker

    async def attach(self, attachment: Attachment, on_refused: object) -> FakeLink:
        await asyncio.sleep(0)
        return FakeLink(self, attachment.incarnation)

    async def close(self) -> None: ...

    # -- for tests -----------------------------------------------------------------------------------------------

    def change(self, change: Change) -> None:
        """As the supervisor does when it is stored."""
        self.changes.append(change)
        self.keeper.desire(desired.after(self.keeper.installation.desired, change))

    def grant(self, *capabilities: str) -> None:
        """As the host does when it is stored."""
        self.grants = Grants(tuple(map(parse, capabilities)), epoch=self.grants.epoch + 1)
        self.keeper.set_grants([(manifest, self.grants) for manifest in self.keeper.manifests])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)

    async def settle(self) -> None:
        """Until nothing happens any more without a push from outside."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Stops all, and holds it to having let go of everything."""
        self.may_load.set()
        async with asyncio.timeout(5):
            await self.keeper.stop("the test is over")
            await self.settle()
        assert not self.alive
        assert not self.links
        assert not self.keeper.incarnations

    async def _make(self, commission: Commission) -> Incarnation:
        await asyncio.sleep(0)
        self.made += 1
        number, grants = next(self._numbers), self.grants
        await asyncio.sleep(0)
        order = replace(self._order(number), widening=widening_of(grants), generation=str(commission.generation))
        launch = Launch(commission.installation, number, order, grants, "3.11", state=commission.state)
        return Incarnation(
            launch,
            shard=cast("Any", self),
            launcher=cast("Any", self),
            capture=cast("Any", Silence()),
            on_refused=lambda _: None,
            on_change=self.changed,
            clock=self.clock,
        )

    def _order(self, number: int) -> WorkerOrder:
        paths = dict.fromkeys(
            ("interpreter", "runtime_path", "sdk_path", "venv_path", "code_path", "data_path"), NOWHERE
        )
        return WorkerOrder(
            installation="churn", incarnation=f"churn-{number}", use_runtime=True, code_roots=("",),
            socket_dir=Path(tempfile.gettempdir()) / "no such folder of a test", start_record=lambda _: b"", uid=None,
            memory_bytes=1, pids=1, start="zygote", stdout_fd=-1, stderr_fd=-1, **paths,
        )  # fmt: skip

    async def _changed(self, transition: Transition) -> None:
        await asyncio.sleep(0)
        self.transitions.append(transition)

    async def _quarantine(self, _name: str, change: Change) -> None:
        await asyncio.sleep(0)
        self.change(change)

    async def _done(self, _execution: Execution) -> None:
        await asyncio.sleep(0)

    @property
    def states(self) -> list[IncarnationState]:
        return [transition.status.state for transition in self.transitions]
