"""What the peer keeps, by a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from moorage.broker.services.servicebus.peer import Declared, Limits, Namespace
from moorage.broker.services.servicebus.peer.codec import Described, Malformed, Symbol, Timestamp, UInt, ULong, encode
from moorage.broker.services.servicebus.peer.message import ANNOTATIONS, BATCH_FORMAT, DATA, HEADER, Message
from moorage.broker.services.servicebus.peer.namespace import MAX_DUE
from moorage.broker.services.servicebus.peer.performatives import AmqpError
from moorage.broker.services.servicebus.peer.queue import Settlement, Stored


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Consumer:
    """Takes so many messages, and keeps them."""

    def __init__(self, credit: int = 100, *, takes_locks: bool = True) -> None:
        self.credit = credit
        self.takes_locks = takes_locks
        self.taken: list[Stored] = []

    @property
    def can_take(self) -> bool:
        return self.credit > 0

    def deliver(self, stored: Stored) -> None:
        self.credit -= 1
        self.taken.append(stored)

    @property
    def bodies(self) -> list[bytes]:
        return [body_of(stored) for stored in self.taken]


def section(code: int, value) -> bytes:
    return encode(Described(ULong(code), value))


def message(body: bytes = b"x", *, ttl_millis: int | None = None, at: float | None = None) -> bytes:
    head = section(HEADER, [None, None, UInt(ttl_millis)]) if ttl_millis is not None else b""
    notes = section(ANNOTATIONS, {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(int(at * 1000))}) if at else b""
    return head + notes + section(DATA, body)


def body_of(stored: Stored) -> bytes:
    return stored.message.body[-1:]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def namespace(clock: Clock) -> Namespace:
    return Namespace(clock=clock)


def attach(namespace: Namespace, path: str, consumer: Consumer | None = None) -> Consumer:
    consumer = consumer or Consumer()
    queue = namespace.queue(path)
    queue.consumers.append(consumer)
    queue.pump()
    return consumer


def waiting(namespace: Namespace, path: str) -> list[bytes]:
    return [body_of(stored) for stored in namespace.queue(path)]


def test_a_lock_that_expires_gives_the_message_back_and_counts(namespace: Namespace, clock: Clock) -> None:
    alarms: list[float] = []
    namespace.alarm = alarms.append
    namespace.publish("orders", message(), 0)
    first = attach(namespace, "orders", Consumer(1))
    lock = first.taken[0].lock
    assert alarms[-1] == clock.now + 60
    clock.now += 59
    namespace.tick()
    assert waiting(namespace, "orders") == []
    clock.now += 2
    namespace.tick()
    (stored,) = namespace.queue("orders")
    assert stored.delivery_count == 1
    with pytest.raises(AmqpError) as lost:
        namespace.queue("orders").settle(lock, Settlement.COMPLETED)
    assert lost.value.condition == "com.microsoft:message-lock-lost"


def test_a_lock_is_lost_on_time_even_before_anybody_looks(namespace: Namespace, clock: Clock) -> None:
    namespace.publish("orders", message(), 0)
    lock = attach(namespace, "orders", Consumer(1)).taken[0].lock
    clock.now += 61
    with pytest.raises(AmqpError):
        namespace.queue("orders").settle(lock, Settlement.COMPLETED)


def test_a_renewed_lock_lasts_from_now(namespace: Namespace, clock: Clock) -> None:
    for _ in range(2):
        namespace.publish("orders", message(), 0)
    kept, lost = attach(namespace, "orders", Consumer(2)).taken
    clock.now += 40
    assert namespace.queue("orders").renew([kept.lock]) == [clock.now + 60]
    clock.now += 30
    namespace.tick()
    assert [stored.sequence_number for stored in namespace.queue("orders")] == [lost.sequence_number]
    namespace.queue("orders").settle(kept.lock, Settlement.COMPLETED)


def test_scheduled_messages_come_when_it_is_time(namespace: Namespace, clock: Clock) -> None:
    alarms: list[float] = []
    namespace.alarm = alarms.append
    (first, second) = namespace.schedule("orders", [message(b"1", at=clock.now + 10), message(b"2", at=clock.now + 5)])
    namespace.publish("orders", message(b"3", at=clock.now + 7), 0)
    assert min(alarms) == clock.now + 5
    namespace.cancel("orders", [first])
    with pytest.raises(AmqpError):
        namespace.cancel("orders", [second, first])
    assert waiting(namespace, "orders") == []
    clock.now += 6
    namespace.tick()
    assert waiting(namespace, "orders") == [b"2"]
    assert alarms[-1] == clock.now + 1
    clock.now += 1
    namespace.tick()
    assert waiting(namespace, "orders") == [b"2", b"3"]


def test_to_look_at_one_of_many_encodes_one(
    namespace: Namespace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        namespace.publish("orders", message(b"%d" % (number % 10), at=clock.now + 60), 0)
        namespace.publish("orders", message(b"%d" % (number % 10)), 0)
    encoded = []
    original = Stored.encode
    monkeypatch.setattr(Stored, "encode", lambda each, state: encoded.append(each) or original(each, state))
    assert [Message.decode(found).body[-1:] for found in namespace.peek("orders", 3, 2)] == [b"1", b"1"]
    assert [each.sequence_number for each in encoded] == [3, 4]


def test_what_is_due_comes_in_portions(namespace: Namespace, clock: Clock) -> None:
    alarms: list[float] = []
    namespace.alarm = alarms.append
    for _ in range(MAX_DUE + 1):
        namespace.publish("orders", message(at=clock.now + 60), 0)
    clock.now += 60
    namespace.tick()
    assert len(waiting(namespace, "orders")) == MAX_DUE
    assert alarms[-1] <= clock.now
    namespace.tick()
    assert len(waiting(namespace, "orders")) == MAX_DUE + 1


def test_what_was_scheduled_and_cancelled_is_forgotten(namespace: Namespace, clock: Clock) -> None:
    for _ in range(1000):
        namespace.cancel("orders", namespace.schedule("orders", [message(at=clock.now + 60)]))
    assert len(namespace._due) < 100
    assert namespace.used_bytes == 0


def test_what_is_due_while_the_namespace_is_full_waits_for_room(clock: Clock) -> None:
    namespace = Namespace(Declared(topics={"news": ["a", "b"]}), Limits(max_bytes=3000), clock)
    namespace.publish("news", message(b"1", at=clock.now + 5), 0)
    namespace.publish("news", message(b"2", at=clock.now + 5), 0)
    clock.now += 5
    namespace.tick()
    assert waiting(namespace, "news/subscriptions/a") == []
    namespace.cancel("news", [2])
    clock.now += 1
    namespace.tick()
    assert waiting(namespace, "news/subscriptions/b") == [b"1"]
    assert attach(namespace, "news/subscriptions/a").bodies == [b"1"]


def test_a_message_whose_time_is_over_is_forgotten(namespace: Namespace, clock: Clock) -> None:
    namespace.publish("orders", message(b"1", ttl_millis=1000), 0)
    namespace.publish("orders", message(b"2"), 0)
    clock.now += 2
    assert len(list(namespace.peek("orders", 1, 10))) == 1
    assert attach(namespace, "orders").bodies == [b"2"]


def test_a_topic_copies_and_what_was_sent_before_it_was_known_as_one_is_kept(namespace: Namespace) -> None:
    namespace.publish("orders", message(b"1"), 0)
    assert waiting(namespace, "orders/subscriptions/a") == [b"1"]
    assert waiting(namespace, "orders/subscriptions/b") == []
    namespace.publish("orders", message(b"2"), 0)
    assert waiting(namespace, "orders/subscriptions/a") == [b"1", b"2"]
    assert waiting(namespace, "orders/subscriptions/b") == [b"2"]
    with pytest.raises(AmqpError, match="is a topic"):
        namespace.queue("orders")
    namespace.queue("mail")
    with pytest.raises(AmqpError, match="is a queue"):
        namespace.queue("mail/subscriptions/a")


def test_what_is_declared_is_all_there_is(clock: Clock) -> None:
    namespace = Namespace(Declared(["Mail"], {"Orders": ["Billing"]}), clock=clock)
    namespace.publish("mail", message(), 0)
    namespace.publish("orders", message(), 0)
    assert waiting(namespace, "orders/subscriptions/billing") == [b"x"]
    for path in ("other", "orders/subscriptions/other", "mail/subscriptions/a"):
        with pytest.raises(AmqpError) as absent:
            namespace.queue(path)
        assert absent.value.condition == "amqp:not-found"
    with pytest.raises(AmqpError):
        Namespace(Declared(["no spaces"]))


@pytest.mark.parametrize(
    "path",
    ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a b", "a%2fb", "a?b", "a#b", "A", "ä", "a/subscriptions",
     "a/subscriptions/", "subscriptions/a", "a/subscriptions/b/c", "$management", "a/$deadletterqueue/b", "x" * 261,
     "a/$deadletterqueue/$deadletterqueue", "a\n", "$cbs"],
)  # fmt: skip
def test_what_is_no_name(namespace: Namespace, path: str) -> None:
    with pytest.raises(AmqpError):
        namespace.queue(path)
    with pytest.raises(AmqpError):
        namespace.publish(path, message(), 0)
    assert list(namespace) == []


def test_entities_and_bytes_are_bounded(clock: Clock) -> None:
    namespace = Namespace(limits=Limits(max_entities=2, max_bytes=10_000), clock=clock)
    for name in ("a", "b"):
        namespace.publish(name, message(), 0)
    with pytest.raises(AmqpError, match="no room"):
        namespace.publish("c", message(), 0)
    used = namespace.used_bytes
    with pytest.raises(AmqpError, match="full"):
        namespace.publish("a", message(b"x" * 10_000), 0)
    batch = section(DATA, message(b"y" * 3000)) * 4
    with pytest.raises(AmqpError, match="full"):
        namespace.publish("a", batch, BATCH_FORMAT)
    assert namespace.used_bytes == used
    assert len(waiting(namespace, "a")) == 1
    for path in ("a", "b"):
        attach(namespace, path, Consumer(takes_locks=False))
    assert namespace.used_bytes == 0


def test_broken_messages_are_malformed(namespace: Namespace) -> None:
    for data in (b"", b"\x40", b"\x00\x53\x75", section(HEADER, []), section(ANNOTATIONS, [])):
        with pytest.raises(Malformed):
            namespace.publish("orders", data, 0)
    with pytest.raises(Malformed):
        namespace.publish("orders", message(), BATCH_FORMAT)
    assert namespace.used_bytes == 0


def test_what_a_client_annotates_is_kept_and_what_the_broker_knows_is_its_own() -> None:
    forged = section(ANNOTATIONS, {Symbol("x-opt-sequence-number"): ULong(99), Symbol("mine"): "yes"})
    namespace = Namespace()
    namespace.publish("orders", forged + section(DATA, b"x"), 0)
    (encoded,) = namespace.peek("orders", 1, 1)
    found = Message.decode(encoded).annotations
    assert (found["x-opt-sequence-number"], found["mine"]) == (1, "yes")


class Ledger(RuleBasedStateMachine):
    """Whatever is done in whatever order: every message is in exactly one place, and the bytes add up."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.namespace = Namespace(limits=Limits(max_delivery_count=3), clock=self.clock)
        self.published = self.gone = 0
        self.queue = self.namespace.queue("orders")

    locks = Bundle("locks")

    @rule()
    def publish(self) -> None:
        self.namespace.publish("orders", message(), 0)
        self.published += 1

    @rule(target=locks)
    def receive(self):
        consumer = Consumer(1)
        self.queue.consumers.append(consumer)
        self.queue.pump()
        self.queue.consumers.remove(consumer)
        return consumer.taken[0].lock if consumer.taken else None

    @rule(lock=consumes(locks), how=st.sampled_from(Settlement))
    def settle(self, lock, how: Settlement) -> None:
        if lock is None:
            return
        try:
            self.queue.settle(lock, how)
        except AmqpError:
            return
        self.gone += how is Settlement.COMPLETED

    @rule()
    def bury(self) -> None:
        """Whoever reads dead letters takes them away."""
        graves = self.queue.dead_letters
        consumer = Consumer(takes_locks=False)
        graves.consumers.append(consumer)
        graves.pump()
        graves.consumers.remove(consumer)
        self.gone += len(consumer.taken)

    @rule(seconds=st.integers(0, 90))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds
        self.namespace.tick()

    @invariant()
    def adds_up(self) -> None:
        kept = sum(sum(queue.counts) for queue in self.namespace)
        assert kept + self.gone == self.published
        assert (self.namespace.used_bytes == 0) == (kept == 0)


Ledger.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestLedger = Ledger.TestCase
