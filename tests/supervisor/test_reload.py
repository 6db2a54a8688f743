"""Reloads with workers in memory: each step fails, is interrupted, or is overtaken by a person."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from fake_workers import CRASH, FakeLink, World, installation

from moorage.models.attachment import Attachment, Health
from moorage.models.incarnation import IncarnationState
from moorage.models.installation import Installation
from moorage.models.manifest import Manifest, ReloadMode
from moorage.supervisor.desired import Hold, Quarantine, Release, Scale
from moorage.supervisor.errors import NotRunnable, ReloadFailed
from moorage.supervisor.incarnation import Incarnation
from moorage.supervisor.reload import Reload, ReloadOrder, mode_of
from moorage.supervisor.snapshot import SnapshotFailed
from moorage_proto.errors import CallError, Reason, Status

#: In turn some steps are done in threads, and take their time.
MOMENTS = ["beside", pytest.param("in_turn", marks=pytest.mark.system)]
STEPS = ("export", "load", "health", "unwell", "commit", "adopt")


@pytest.mark.parametrize(
    ("old", "new", "asked", "mode"),
    [
        ({}, {}, None, "beside"),
        ({"private_data": True}, {}, None, "in_turn"),
        ({}, {"private_data": True}, None, "in_turn"),
        ({}, {"exclusive": True}, None, "in_turn"),
        ({"reload": "in_turn"}, {}, None, "beside"),
        ({}, {"reload": "in_turn"}, None, "in_turn"),
        ({"private_data": True}, {"private_data": True, "reload": "beside"}, None, "beside"),
        ({}, {"reload": "in_turn"}, "beside", "beside"),
        ({"private_data": True}, {}, "beside", "beside"),
        ({}, {}, "in_turn", "in_turn"),
    ],
)
def test_the_person_decides_then_the_plugin_then_what_it_has(
    old: dict[str, Any], new: dict[str, Any], asked: ReloadMode | None, mode: ReloadMode
) -> None:
    assert (
        mode_of(Manifest("churn", "1", "churn:plugin", **old), Manifest("churn", "2", "churn:plugin", **new), asked)
        == mode
    )


class ScriptedLink(FakeLink):
    """Of one version; it fails where the test says so."""

    world: Staged

    async def load(self, config: object, **handover: object) -> tuple[()]:
        await super().load(config)
        self.world.told.append((str(handover["version"]), handover["state"]))
        if self.world.fails == "load" and handover["version"] == "2.0.0":
            raise CallError(Status.INTERNAL, Reason.LOAD_FAILED, "no such table")
        return ()

    async def export_state(self, timeout: timedelta) -> bytes | None:
        await asyncio.sleep(0)
        if self.world.fails == "export":
            raise CallError(Status.UNKNOWN, Reason.TASK_FAILED, "lost count")
        return f"state of {self.incarnation}".encode()

    async def health(self, timeout: timedelta) -> Health:
        await asyncio.sleep(0)
        if self.world.fails == "health":
            raise CallError(Status.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, "no answer")
        return Health(healthy=self.world.fails != "unwell", message="the queue is gone")


class Staged(World):
    """One installation at 1.0.0, about to be reloaded to 2.0.0; and its stand-ins for store and disk."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(**limits)
        self.fails = ""
        self.loses_data = False
        #: Version and state that each worker was loaded with.
        self.told: list[tuple[str, object]] = []
        self.stored = self.data = "1.0.0"
        self.snapshots: list[str] = []
        self.trial = False
        #: Called when the trial is noted down, before whoever waits for that is told.
        self.meanwhile: Callable[[], object] = lambda: None
        self.steps: list[str] = []

    async def attach(self, attachment: Attachment, on_refused: object) -> FakeLink:
        await asyncio.sleep(0)
        link = ScriptedLink(self, attachment.incarnation)
        link.world = self
        return link

    @property
    def old(self) -> Installation:
        return installation()

    @property
    def target(self) -> Installation:
        manifest = replace(installation().manifest, version="2.0.0")
        return replace(installation(), manifest=manifest, code_hash="def", installed_at=datetime.now(UTC))

    def reload(self, mode: ReloadMode) -> Reload:
        order = ReloadOrder(self.target, mode, self._commit, self._withdraw, self.steps.append)
        return Reload(self.keeper, order, cast("Any", Disk(self)), self.clock, self._hold)

    async def _hold(self, reason: str) -> None:
        await asyncio.sleep(0)
        self.change(Hold(reason, "host"))

    async def _commit(self) -> None:
        await asyncio.sleep(0)
        if self.fails == "commit":
            raise OSError("the store is full")
        # As a store does, whoever waits for it.
        self.stored = "2.0.0"
        await asyncio.sleep(0)
        if self.fails == "adopt":
            for link in tuple(self.links):
                if link.worker is not None and link.incarnation == f"churn-{self.made}":
                    link.worker.die()
            await self.settle()

    async def _withdraw(self) -> None:
        await asyncio.sleep(0)
        self.stored = "1.0.0"


class Disk:
    """Snapshots of a world whose data is one word."""

    def __init__(self, world: Staged) -> None:
        self._world = world

    def take(self, _installation: Installation) -> str:
        assert not self._world.alive, "data is copied while something may write it"
        if self._world.fails == "snapshot":
            raise SnapshotFailed("churn", "It holds more than 0 MiB.")
        return self._world.data

    def begin_trial(self, _snapshot: str, _target: Installation) -> None:
        self._world.trial = True
        self._world.data = "touched by 2.0.0"
        self._world.meanwhile()

    def restore(self, snapshot: str) -> None:
        assert not self._world.alive, "data is brought back while something may write it"
        if self._world.loses_data:
            raise SnapshotFailed("churn", "The copy failed: No space left on device.")
        self._world.data = snapshot

    def end_trial(self, _installation: str) -> None:
        self._world.trial = False

    def prune(self, _installation: str) -> None: ...


@pytest.fixture
async def staged() -> AsyncIterator[Callable[..., Staged]]:
    made = []

    def make(**limits: Any) -> Staged:
        made.append(Staged(**limits))
        return made[-1]

    yield make
    for world in made:
        await world.end()


async def version(world: Staged) -> str:
    async with asyncio.timeout(5), world.keeper.session() as incarnation:
        return incarnation.installation.manifest.version


async def running(world: Staged, workers: int = 1) -> None:
    world.change(Scale(replicas=workers))
    await version(world)
    await world.until(lambda: len(world.keeper.ready) == workers)
    world.told.clear()


class Load:
    """Sessions without an end, four at a time; each must be served."""

    def __init__(self, world: Staged) -> None:
        self._world = world
        self._over = False
        self.served: list[str] = []
        self._tasks = [asyncio.create_task(self._call()) for _ in range(4)]

    async def _call(self) -> None:
        while not self._over:
            async with self._world.keeper.session() as incarnation:
                assert incarnation.status.state is not IncarnationState.STOPPED
                for _ in range(3):
                    await asyncio.sleep(0)
                self.served.append(incarnation.installation.manifest.version)
            await asyncio.sleep(0)

    async def end(self) -> None:
        self._over = True
        async with asyncio.timeout(5):
            await asyncio.gather(*self._tasks)


def whole(world: Staged, version: str) -> None:
    """Store, disk and workers agree."""
    assert world.stored == version
    assert world.keeper.installation.manifest.version == version
    assert not world.trial
    assert {each.installation.manifest.version for each in world.keeper.ready} == {version}
    assert world.keeper.incarnations == world.keeper.ready


@pytest.mark.parametrize("mode", ["beside", "in_turn"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_nothing_is_lost_and_each_state_finds_its_worker(
    staged: Callable[..., Staged], mode: ReloadMode, workers: int
) -> None:
    world = staged()
    await running(world, workers)
    load = Load(world)
    report = await world.reload(mode).run()
    await load.end()

    whole(world, "2.0.0")
    assert (report.old, report.new) == (tuple(range(1, workers + 1)), tuple(range(workers + 1, 2 * workers + 1)))
    assert world.told == [("2.0.0", f"state of churn-{number + 1}".encode()) for number in range(workers)]
    assert "2.0.0" in load.served
    assert load.served == sorted(load.served) if workers == 1 and mode == "in_turn" else load.served
    assert world.most_alive == (2 * workers if mode == "beside" else workers)
    assert world.data == ("1.0.0" if mode == "beside" else "touched by 2.0.0")


@pytest.mark.parametrize(("mode", "fails"), [*itertools.product(["beside", "in_turn"], STEPS), ("in_turn", "snapshot")])
async def test_whatever_step_fails_all_is_as_before(
    staged: Callable[..., Staged], mode: ReloadMode, fails: str
) -> None:
    world = staged()
    await running(world)
    first = world.keeper.ready[0]
    load = Load(world)
    world.fails = fails
    with pytest.raises(ReloadFailed, match=r"churn was not reloaded to 2\.0\.0") as failed:
        await world.reload(mode).run()
    await load.end()

    whole(world, "1.0.0")
    assert set(load.served) == {"1.0.0"}
    assert world.data == "1.0.0"
    if mode == "beside" or fails == "export":
        assert world.keeper.ready == (first,)
        assert "What ran before goes on." in str(failed.value)
    else:
        # It came back with what it had in memory.
        assert world.told[-1] == ("1.0.0", b"state of churn-1")
        assert "back, with its data" in str(failed.value)
    world.fails = ""
    await world.reload(mode).run()
    whole(world, "2.0.0")


async def test_given_up_while_the_disk_begins_the_trial_its_data_is_brought_back(
    staged: Callable[..., Staged],
) -> None:
    world = staged()
    await running(world)
    reload = asyncio.create_task(world.reload("in_turn").run())
    world.meanwhile = reload.cancel
    await asyncio.wait((reload,), timeout=5)
    assert reload.cancelled()
    await world.until(lambda: len(world.keeper.ready) == 1)
    whole(world, "1.0.0")
    assert world.data == "1.0.0"


@pytest.mark.parametrize("mode", MOMENTS)
async def test_held_at_any_moment_nothing_runs_and_the_person_is_told_so(
    staged: Callable[..., Staged], mode: ReloadMode
) -> None:
    for steps in range(0, 60, 4):
        world = staged()
        await running(world)
        reload = asyncio.create_task(world.reload(mode).run())
        for _ in range(steps):
            await asyncio.sleep(0.0002 if mode == "in_turn" else 0)
        world.change(Hold("maintenance", "grace"))
        await world.keeper.retire("maintenance")
        await asyncio.wait((reload,))
        await world.settle()
        assert not world.alive
        assert not world.trial
        if reload.exception() is not None:
            assert "It stays stopped." in str(reload.exception())
            assert world.stored == "1.0.0"
        world.change(Release())
        assert await version(world) == world.stored


@pytest.mark.parametrize("other", [True, False])
async def test_a_quarantine_of_the_old_code_does_not_keep_other_code_out(
    staged: Callable[..., Staged], other: bool
) -> None:
    world = staged()
    await running(world)
    world.may_load.clear()
    order = world.reload("beside")
    if not other:
        same = replace(order._order.target, code_hash=world.old.code_hash)
        order._order = replace(order._order, target=same)
    reload = asyncio.create_task(order.run())
    await world.until(lambda: world.made == 2)
    world.change(Quarantine("It died 6 times."))
    await world.settle()
    world.may_load.set()
    await asyncio.wait((reload,))
    assert world.stored == ("2.0.0" if other else "1.0.0")
    if not other:
        assert "in quarantine" in str(reload.exception())


async def test_on_data_that_cannot_be_brought_back_nothing_runs(staged: Callable[..., Staged]) -> None:
    world = staged()
    await running(world)
    world.fails, world.loses_data = "load", True
    waiting = asyncio.create_task(world.reload("in_turn").run())
    await world.until(lambda: bool(world.steps))
    served = asyncio.create_task(version(world))
    with pytest.raises(ReloadFailed, match="could not be brought back, so nothing runs on it") as failed:
        await waiting
    assert "is back" not in str(failed.value)
    with pytest.raises(NotRunnable, match="host holds it"):
        await served
    world.clock.advance(hours=1)
    await world.settle()
    assert not world.alive
    assert (world.trial, world.told) == (True, [("2.0.0", b"state of churn-1")])


@pytest.mark.parametrize("mode", MOMENTS)
async def test_given_up_at_any_moment_it_is_one_version_or_the_other(
    staged: Callable[..., Staged], mode: ReloadMode
) -> None:
    ended = set()
    for steps in [*range(0, 80, 3), None]:
        world = staged()
        await running(world)
        load = Load(world)
        reload = asyncio.create_task(world.reload(mode).run())
        for _ in range(steps or 0):
            await asyncio.sleep(0.0002 if mode == "in_turn" else 0)
        if steps is None:
            # At last when it is over, however long a busy machine takes for that.
            await asyncio.wait((reload,))
        reload.cancel()
        await asyncio.wait((reload,))
        await world.keeper.left()
        await load.end()
        await world.keeper.left()
        whole(world, world.stored)
        assert world.data == ("touched by 2.0.0" if mode == "in_turn" and world.stored == "2.0.0" else "1.0.0")
        ended.add(world.stored)
    assert ended == {"1.0.0", "2.0.0"}


@pytest.mark.parametrize("mode", MOMENTS)
async def test_stopped_at_any_moment_it_stays_stopped(staged: Callable[..., Staged], mode: ReloadMode) -> None:
    for steps in range(0, 60, 4):
        world = staged()
        await running(world)
        reload = asyncio.create_task(world.reload(mode).run())
        for _ in range(steps):
            await asyncio.sleep(0.0002 if mode == "in_turn" else 0)
        await world.keeper.stop("a person asked for it")
        await asyncio.wait((reload,))
        await world.settle()
        assert not world.alive
        assert not world.trial
        if reload.exception() is not None:
            assert "It stays stopped." in str(reload.exception())
        assert world.data == ("1.0.0" if world.stored == "1.0.0" or mode == "beside" else "touched by 2.0.0")
        assert await version(world) == world.stored


@pytest.mark.parametrize("known", [True, False])
async def test_an_old_worker_that_dies_hands_nothing_over_and_stops_nothing(
    staged: Callable[..., Staged], known: bool
) -> None:
    world = staged()
    await running(world)
    link = next(iter(world.links))

    async def dies(timeout: timedelta) -> bytes | None:
        assert link.worker is not None
        link.worker.die(CRASH)
        if known:
            await world.settle()
        raise CallError(Status.UNAVAILABLE, Reason.LINK_CLOSED, "the link has ended")

    link.export_state = dies  # type: ignore[method-assign,assignment]
    await world.reload("beside").run()
    await world.until(lambda: len(world.keeper.ready) == 1)
    await world.keeper.left()
    whole(world, "2.0.0")
    assert ("2.0.0", None) in world.told


async def test_a_second_generation_waits_until_the_first_is_gone(staged: Callable[..., Staged]) -> None:
    world = staged()
    await running(world)
    lent = world.keeper.session()
    old: Incarnation = await lent.__aenter__()
    first = asyncio.create_task(world.reload("beside").run())
    await world.until(lambda: world.stored == "2.0.0")
    await world.settle()
    assert await version(world) == "2.0.0"
    second = asyncio.create_task(world.reload("beside").run())
    await world.settle()
    assert world.made == 2
    assert "waiting until #1 has come to its end" in world.steps[-1]
    assert old.status.state is IncarnationState.DRAINING
    await lent.__aexit__(None, None, None)
    await asyncio.gather(first, second)
    assert world.made == 3
