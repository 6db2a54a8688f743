"""What is Kafka's own: offsets, groups, partitions, and clusters that are away."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from random import Random

import kafka_worlds
import pytest
from kafka_worlds import GROUP, MemoryWorld
from memory_kafka import Consumer
from servers.kafka import free_port, kafka_server
from source_doors import BookDoor
from source_worlds import Listener, listening, until

from moorage.broker.services.kafka import KafkaService, library
from moorage.broker.services.kafka.base import KafkaAccess
from moorage.config.services.kafka import KafkaBackend
from moorage.models.manifest import Trigger
from moorage.orchestrator.triggers import kafka, kafka_commits, kafka_polling
from moorage.orchestrator.triggers.base import Fate, NotNow, Signal, SourceFailed, Taken
from moorage.orchestrator.triggers.crew import Crew
from moorage.orchestrator.triggers.dead_letter import Backoff
from moorage.orchestrator.triggers.kafka import KafkaSource, Topic, consumer_config
from moorage_proto.errors import CallError
from moorage_sdk.messages import KafkaMessage, brought


class HeldDoor(BookDoor):
    """Each message waits until a test lets it through, or refuses it."""

    def __init__(self, **options) -> None:
        super().__init__(slots=100, **options)
        self.let: defaultdict[bytes, asyncio.Event] = defaultdict(asyncio.Event)
        self.refused: defaultdict[bytes, int] = defaultdict(int)
        self.here: list[bytes] = []

    async def take(self, signal: Signal) -> Taken:
        body = signal.input["value"]
        self.here.append(body)
        await self._tell()
        await self.let[body].wait()
        if self.refused[body]:
            self.refused[body] -= 1
            raise NotNow("It may not run now.")
        return await super().take(signal)

    def let_through(self, *bodies: bytes) -> None:
        for body in bodies:
            self.let[body].set()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryWorld]:
    async with kafka_worlds.in_memory(monkeypatch) as made:
        yield made


@pytest.fixture
async def door() -> AsyncIterator[BookDoor]:
    made = BookDoor()
    yield made
    await made.close()


@pytest.fixture
async def held() -> AsyncIterator[HeldDoor]:
    made = HeldDoor()
    yield made
    await made.close()


async def _committed(world: MemoryWorld, offsets: dict[int, int]) -> None:
    async def done() -> bool:
        return world.committed == offsets

    await until(done, 5)


# -- what a task is given


async def test_the_input_is_the_message(world: MemoryWorld, door: BookDoor) -> None:
    headers = [("trace", b"a"), ("trace", None)]
    await world.send(b"{}", key=b"ada", headers=headers, partition=1, timestamp=1_700_000_000_123)
    async with listening(world, door):
        await door.until(lambda: bool(door.told))
    (signal,) = door.runs
    assert brought(signal.input) == KafkaMessage(
        world.topic,
        1,
        0,
        b"ada",
        b"{}",
        [("trace", b"a"), ("trace", None)],
        datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC),
    )
    assert signal.position == f"{world.topic}/1/0"


async def test_a_tombstone_is_a_message_too(world: MemoryWorld, door: BookDoor) -> None:
    await world.send(None, key=b"ada")
    async with listening(world, door):
        await door.until(lambda: bool(door.told))
    message = brought(door.inputs[0])
    assert isinstance(message, KafkaMessage)
    assert (message.key, message.value, message.headers) == (b"ada", None, [])


async def test_a_dead_letter_has_all_that_the_message_had(world: MemoryWorld, door: BookDoor) -> None:
    door.fate = lambda _: Fate.POISON
    await world.send(None, key=b"ada", headers=[("trace", b"a")], partition=2, timestamp=1234)
    async with listening(world, door):
        await _committed(world, {2: 1})
    (dead,) = [message for log in world.cluster.topics[f"{world.topic}.dead-letter"] for message in log]
    assert (dead.key(), dead.value(), dead.timestamp()) == (b"ada", None, (1, 1234))
    assert dead.headers() == [
        ("trace", b"a"),
        ("moorage-topic", world.topic.encode()),
        ("moorage-partition", b"2"),
        ("moorage-offset", b"0"),
        ("moorage-execution", b"e-1"),
        ("moorage-error-type", b"LookupError"),
        ("moorage-error", b"no such order"),
    ]


async def test_a_topic_that_was_made_anew_has_other_messages_at_the_same_offsets(
    world: MemoryWorld, door: BookDoor
) -> None:
    await world.send(b"one", partition=0, timestamp=1_000)
    async with listening(world, door):
        await _committed(world, {0: 1})
    world.cluster.topics.clear()
    world.cluster.groups.clear()
    await world.send(b"another", partition=0, timestamp=2_000)
    async with listening(world, door):
        await door.until(lambda: len(door.runs) == 2)


# -- offsets


async def test_only_what_is_done_without_a_gap_is_committed(world: MemoryWorld, held: HeldDoor) -> None:
    await world.send(b"a", b"b", b"c", partition=0)
    async with listening(world, held):
        await held.until(lambda: len(held.here) == 3)
        held.let_through(b"b", b"c")
        await held.until(lambda: len(held.told) == 2)
        assert world.committed == {}
        held.let_through(b"a")
        await _committed(world, {0: 3})


async def test_offsets_that_are_not_there_hold_nothing_up(world: MemoryWorld, door: BookDoor) -> None:
    """Compaction and transactions leave such holes."""
    for offset in (3, 4, 17, 40):
        await world.send(b"%d" % offset, partition=0, offset=offset)
    async with listening(world, door):
        await _committed(world, {0: 41})
    assert len(door.runs) == 4


async def test_a_commit_that_failed_is_tried_again(
    world: MemoryWorld, door: BookDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_commits, "AGAIN_SECONDS", 0.01)
    world.cluster.failing_commits = 3
    await world.send(b"a", partition=0)
    async with listening(world, door):
        await _committed(world, {0: 1})
    assert world.cluster.failing_commits == 0


async def test_what_is_not_taken_is_read_again_and_nothing_is_skipped(world: MemoryWorld, held: HeldDoor) -> None:
    held.refused[b"b"] = 2
    held.let_through(b"a", b"b", b"c", b"d")
    await world.send(b"a", b"b", b"c", b"d", partition=0)
    async with listening(world, held):
        await _committed(world, {0: 4})
    assert sorted(signal.input["value"] for signal in held.runs) == [b"a", b"b", b"c", b"d"]
    assert held.here.count(b"b") == 3


async def test_another_partition_goes_on_meanwhile(world: MemoryWorld, held: HeldDoor) -> None:
    held.refused[b"stuck"] = 1_000_000
    held.let_through(b"stuck", b"a", b"b")
    await world.send(b"stuck", partition=0)
    async with listening(world, held):
        await held.until(lambda: held.here.count(b"stuck") > 2)
        await world.send(b"a", b"b", partition=1)
        await _committed(world, {1: 2})


class Thread:
    """In place of the polling thread: what it was told to do, and never did."""

    def __init__(self) -> None:
        self.rewinds: list[tuple[int, int]] = []
        self.commits: list[tuple[int, int]] = []

    def rest(self, partition: int) -> None: ...

    def finished(self, messages: int, size_bytes: int, slots: int) -> None: ...

    def rewind(self, partition: int, offset: int) -> None:
        self.rewinds.append((partition, offset))

    def commit(self, partition: int, offset: int) -> None:
        self.commits.append((partition, offset))


async def _driven(world: MemoryWorld, door: BookDoor) -> tuple[KafkaSource, Thread]:
    """A source whose thread is the test."""
    source, thread = world.source(), Thread()
    source._door, source._crew, source._polling, source._cluster = door, Crew(), thread, "main"
    source.assigned([0])
    return source, thread


async def test_one_that_is_not_taken_while_its_partition_is_read_again_from_a_later_one(
    world: MemoryWorld, held: HeldDoor
) -> None:
    source, thread = await _driven(world, held)
    held.refused[b"a"] = held.refused[b"b"] = 1
    a, b = (world.cluster.append(world.topic, body, partition=0) for body in (b"a", b"b"))
    source.arrived([a, b])
    held.let_through(b"b")

    async def told(count: int) -> bool:
        return len(thread.rewinds) == count

    await until(lambda: told(1), 5)
    held.let_through(b"a")
    await until(lambda: _is_missing(source, 0), 5)
    source.rewound(0, 1)
    source.arrived([b])
    await until(lambda: told(2), 5)
    source.rewound(0, 0)
    source.arrived([a, b])
    await held.until(lambda: len(held.told) == 2, 5)
    await source._crew.close()
    assert (thread.rewinds, thread.commits[-1]) == ([(0, 1), (0, 0)], (0, 2))


async def _is_missing(source: KafkaSource, offset: int) -> bool:
    return source._partitions[0].watermark.missing == offset


async def test_when_the_door_gets_smaller_what_was_handed_over_waits(world: MemoryWorld, door: BookDoor) -> None:
    source, _ = await _driven(world, door)
    door.slots = 1
    door.gate.clear()
    source.arrived([world.cluster.append(world.topic, b"%d" % number, partition=0) for number in range(4)])
    await door.until(lambda: len(door.runs) == 1)
    door.gate.set()
    await door.until(lambda: len(door.told) == 4)
    await source._crew.close()
    assert door.most_at_once == 1


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_is_not_taken_and_however_often_nothing_below_a_commit_is_without_an_outcome(
    world: MemoryWorld, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    bodies = [b"%d" % number for number in range(120)]
    book: set[tuple[int, int]] = set()

    class Whimsical(BookDoor):
        async def take(self, signal: Signal) -> Taken:
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            if random.random() < 0.25:
                raise NotNow("It may not run now.")
            taken = await super().take(signal)
            book.add((signal.input["partition"], signal.input["offset"]))
            return taken

    def commit(consumer: Consumer, offsets: list, **options: bool) -> None:
        for each in offsets:
            below = [message.offset() for message in world.cluster.topics[world.topic][each.partition]]
            assert {(each.partition, offset) for offset in below if offset < each.offset} <= book
        committed(consumer, offsets, **options)

    committed = Consumer.commit
    monkeypatch.setattr(Consumer, "commit", commit)
    monkeypatch.setattr(kafka_worlds, "QUICK", Backoff(0.001, 0.002))
    await world.send(*bodies)
    door = Whimsical(slots=20)
    async with listening(world, door) as listener:

        async def done() -> bool:
            return await world.acknowledged() == len(bodies)

        await until(done, 20)
    assert sorted(world.body(signal) for signal in door.runs) == sorted(bodies)
    assert listener.problems == []


async def test_what_there_is_no_room_for_stays_in_the_topic(world: MemoryWorld) -> None:
    door = BookDoor(slots=3)
    door.gate.clear()
    await world.send(*(b"%d" % number for number in range(500)))
    source = world.source()
    task = asyncio.create_task(source.run(door))
    await door.until(lambda: len(door.runs) == 3)
    await until(lambda: _paused(source), 5)
    assert source._polling._handed == 3
    task.cancel()
    await asyncio.wait((task,))
    await door.close()


async def _paused(source: KafkaSource) -> bool:
    return len(source._polling._paused) == 3


# -- where a group begins


async def test_a_new_group_begins_with_all_that_is_there(world: MemoryWorld, door: BookDoor) -> None:
    await world.send(b"old", partition=0)
    async with listening(world, door):
        await door.until(lambda: bool(door.told))
    assert door.inputs[0]["value"] == b"old"


async def test_from_latest_a_new_group_begins_with_what_comes(world: MemoryWorld, held: HeldDoor) -> None:
    await world.send(b"old", partition=0)
    listener = Listener(lambda: world.source(**{"from": "latest"}), held)
    task = asyncio.create_task(listener.listen())
    await _committed(world, {0: 1, 1: 0, 2: 0})
    await world.send(b"new", partition=0)
    await held.until(lambda: held.here == [b"new"])
    task.cancel()
    await asyncio.wait((task,))
    # It had no outcome. Whoever comes next has it, and does not begin at the end again.
    assert world.committed == {0: 1, 1: 0, 2: 0}
    held.let_through(b"new")
    again = asyncio.create_task(Listener(lambda: world.source(**{"from": "latest"}), held).listen())
    await _committed(world, {0: 2, 1: 0, 2: 0})
    again.cancel()
    await asyncio.wait((again,))


# -- groups


async def test_two_hosts_share_the_partitions(world: MemoryWorld, door: BookDoor) -> None:
    """One store, and so one book."""
    bodies = [b"%d" % number for number in range(60)]
    await world.send(*bodies[:30])
    async with listening(world, door):
        await door.until(lambda: len(door.runs) >= 5)
        async with listening(world, door):
            await world.send(*bodies[30:])

            async def done() -> bool:
                return await world.acknowledged() == len(bodies)

            await until(done, 10)
    assert sorted(signal.input["value"] for signal in door.runs) == sorted(bodies)


async def test_what_runs_when_a_partition_goes_may_end_first(world: MemoryWorld, held: HeldDoor) -> None:
    await world.send(b"a", b"b", partition=1)
    async with listening(world, held):
        await held.until(lambda: len(held.here) == 2)
        async with listening(world, held):
            # The second host waits for the first to give the partition back.
            await until(_joined(world, 2), 5)
            held.let_through(b"a", b"b")
            await _committed(world, {1: 2})
    assert held.here == [b"a", b"b"]


async def test_what_does_not_end_in_time_is_another_hosts_and_the_same_execution(
    world: MemoryWorld, held: HeldDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (kafka, kafka_polling):
        monkeypatch.setattr(module, "REVOKE_SECONDS", 0.02)
    await world.send(b"a", b"b", partition=1)
    async with listening(world, held):
        await held.until(lambda: len(held.here) == 2)
        async with listening(world, held):
            await held.until(lambda: len(held.here) == 4)
            held.let_through(b"a", b"b")
            await _committed(world, {1: 2})
    assert len(held.runs) == 2


def _joined(world: MemoryWorld, count: int):
    async def joined() -> bool:
        return len(world.cluster.groups[GROUP].members) == count

    return joined


async def test_one_of_a_kind_is_told_by_the_host(world: MemoryWorld) -> None:
    config = consumer_config(
        KafkaAccess("main", {"enable.auto.commit": True, "client.id": "x"}, world._prepare), "g", "c"
    )
    assert (config["enable.auto.commit"], config["client.id"], config["group.id"]) == (False, "c", "g")
    assert config["auto.offset.reset"] == "earliest"


def test_names_that_follow_from_the_trigger() -> None:
    topic = Topic.of("churn/orders", Trigger("kafka", "shop.orders"))
    assert (topic.group, topic.dead_letter) == ("moorage.churn.orders", "shop.orders.dead-letter")
    assert topic.client_id == "moorage/trigger/churn/orders"
    own = Topic.of("all", Trigger("kafka", "t", options={"group": "g", "dead_letter": "d", "from": "latest"}))
    assert (own.group, own.dead_letter, own.from_latest) == ("g", "d", True)


# -- what stands against it


async def test_a_topic_that_is_not_there_is_waited_for(world: MemoryWorld, door: BookDoor) -> None:
    source = KafkaSource(Topic.of("churn/x", Trigger("kafka", "absent")), lambda: world.access)
    world.access = KafkaAccess("main", {}, _nothing)
    with pytest.raises(SourceFailed, match=r"The Kafka cluster 'main' has no topic 'absent'\. Create it there"):
        await source.run(door)
    world.cluster.append("absent", b"now it is")
    again = asyncio.create_task(
        KafkaSource(Topic.of("churn/x", Trigger("kafka", "absent")), lambda: world.access).run(door)
    )
    await door.until(lambda: bool(door.told))
    again.cancel()
    await asyncio.wait((again,))


async def _nothing(topic: str) -> None: ...


async def test_without_the_library_it_says_what_to_install(door: BookDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "confluent_kafka", None)
    service = KafkaService.from_settings({"main": KafkaBackend(bootstrap_servers="x:1")})
    await service.open()
    with pytest.raises(SourceFailed, match="pip install 'moorage\\[kafka\\]'"):
        await KafkaSource(Topic.of("churn/x", Trigger("kafka", "x")), service.access).run(door)


async def test_a_cluster_that_nobody_knows(door: BookDoor) -> None:
    service = KafkaService.from_settings({})
    with pytest.raises(CallError, match="no Kafka cluster named 'far'"):
        service.access("far")
    with pytest.raises(SourceFailed, match="no Kafka cluster named 'far'"):
        await KafkaSource(Topic.of("churn/x", Trigger("kafka", "x")), lambda: service.access("far")).run(door)


async def test_a_fault_in_the_thread_is_told_without_its_words(
    world: MemoryWorld, door: BookDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("memory_kafka.Consumer.poll", broken)
    await world.send(b"a")
    with pytest.raises(SourceFailed) as failed:
        await world.source().run(door)
    assert "hunter2" not in str(failed.value)


async def test_a_fault_in_the_door_ends_the_source_and_not_the_message(world: MemoryWorld) -> None:
    class Broken(BookDoor):
        async def take(self, signal: Signal) -> Taken:
            raise LookupError("a bug")

    await world.send(b"a")
    with pytest.raises(LookupError):
        await world.source().run(Broken())
    assert await world.acknowledged() == 0


# -- real clusters


@pytest.mark.system
async def test_a_cluster_that_is_away_at_the_start(door: BookDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_polling, "PROBE_SECONDS", 0.5)
    address = f"127.0.0.1:{free_port()}"
    access = KafkaAccess("main", {"bootstrap.servers": address}, _nothing)
    with pytest.raises(SourceFailed, match="The Kafka cluster 'main' cannot be reached") as failed:
        await KafkaSource(Topic.of("churn/x", Trigger("kafka", "x")), lambda: access).run(door)
    assert "127.0.0.1" not in str(failed.value)


@pytest.mark.system
async def test_a_cluster_that_goes_is_said_to_be_away_and_it_goes_on_when_it_is_back(
    door: BookDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one forgets everything; what is sent to it afterwards arrives all the same."""
    monkeypatch.setattr(kafka_polling, "PROBE_SECONDS", 1.0)
    monkeypatch.setattr(kafka_polling, "AWAY_SECONDS", 0.5)
    with kafka_server() as server:
        async with kafka_worlds.real(server) as world:
            await world.send(b"before")
            async with listening(world, door) as listener:
                await door.until(lambda: len(door.told) == 1)
                server.kill()
                await until(lambda: _said(listener, "cannot be reached"))
                await asyncio.to_thread(server.start)
                await asyncio.to_thread(server.make_topic, world.topic, 3)
                await world.send(b"after")
                await door.until(lambda: len(door.told) == 2, 30)
    assert [signal.input["value"] for signal in door.runs] == [b"before", b"after"]


async def _said(listener: Listener, words: str) -> bool:
    return any(words in problem for problem in listener.problems)


@pytest.mark.system
async def test_work_that_takes_longer_than_a_consumer_may_be_silent_keeps_its_partitions() -> None:
    """max.poll.interval.ms is 3 s here, and the work takes 5 s; with one slot the source has no room meanwhile."""
    door = BookDoor(slots=1)
    async with kafka_worlds.embedded() as world:
        short = {**world.access.options, "max.poll.interval.ms": 3000}
        world.access = KafkaAccess("main", short, world.access.prepare)
        door.gate.clear()
        await world.send(b"a", b"b")
        async with listening(world, door) as listener:
            await door.until(lambda: len(door.runs) == 1)
            await asyncio.sleep(5)
            door.gate.set()

            async def done() -> bool:
                return await world.acknowledged() == 2

            await until(done, 10)
    assert listener.problems == []
    assert len(door.told) == 2, "neither was delivered twice"
    await door.close()


@pytest.mark.system
async def test_large_messages_arrive_few_at_a_time(door: BookDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock cluster keeps 5 MiB of a partition."""
    monkeypatch.setattr(kafka_polling, "MAX_BYTES", 700_000)
    door.slots = 100
    async with kafka_worlds.embedded() as world:
        await world.send(*(b"%d" % number * 600_000 for number in range(6)))
        door.gate.clear()
        async with listening(world, door):
            await door.until(lambda: len(door.runs) == 2)
            await asyncio.sleep(0.3)  # a third would come now
            assert len(door.runs) == 2
            door.gate.set()
            await door.until(lambda: len(door.runs) == 6)


@pytest.mark.system
async def test_the_event_loop_is_never_held_up() -> None:
    """10,000 messages, taken as fast as they come: in one turn of the loop no more than the door has slots for."""
    door = BookDoor(slots=50)
    most = 0
    async with kafka_worlds.embedded() as world:
        await world.send(*[b"x" * 100] * 10_000)
        async with listening(world, door), asyncio.timeout(60):
            while (before := len(door.runs)) < 10_000:
                await asyncio.sleep(0)
                most = max(most, len(door.runs) - before)
    assert 0 < most <= 2 * door.slots
    await door.close()
