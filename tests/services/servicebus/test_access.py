"""Who may send where and receive what: refused at the gate, and, with the gate's check left out, by the namespace."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

import pytest
from memory_link import RecordingAudit, connected, grants
from servers.servicebus import servicebus_server
from servicebus_worlds import LinkWorld, World, brokered, world_of

from moorage.broker.broker import Broker
from moorage.broker.guard import CallGuard
from moorage.broker.services.base import Caller
from moorage.broker.services.servicebus import ServiceBusService
from moorage.config.services.servicebus import ServiceBusBackend
from moorage_proto import servicebus_pb2
from moorage_proto.capability import Grants, need, parse
from moorage_proto.errors import CallError, Reason
from moorage_proto.servicebus_names import source, target

Message = servicebus_pb2.ServiceBusMessage
Send = servicebus_pb2.ServiceBusSendRequest
Open = servicebus_pb2.ServiceBusOpenReceiverRequest

GRANTED = ("servicebus.send:orders", "servicebus.receive:orders", "servicebus.receive:news/Subscriptions/mine")


@pytest.fixture
async def world(kind: str) -> AsyncIterator[World]:
    async with world_of(kind, *GRANTED) as found:
        yield found


async def sending(world: World, entity: str) -> None:
    await world.call("send", entity=entity, messages=[Message(body=b"x")])


async def scheduling(world: World, entity: str) -> None:
    await world.call("schedule", entity=entity, messages=[Message(body=b"x")], enqueue_time_millis=2**42)


async def cancelling(world: World, entity: str) -> None:
    await world.call("cancel_scheduled", entity=entity, sequence_numbers=[1])


async def receiving(world: World, entity: str) -> None:
    await world.call("open_receiver", entity=entity)


#: Names, and what they try.
OUTSIDE = {
    "other": "another queue",
    "orders/$DeadLetterQueue": "the dead letters of a granted queue",
    "orders/$deadletterqueue": "the same in lower case",
    "orders/subscriptions/mine": "a subscription of a granted name",
    "news": "the topic of a granted subscription",
    "news/subscriptions/theirs": "another subscription",
    "news/subscriptions/mine/$deadletterqueue": "the dead letters of a granted subscription",
    "ordersx": "a longer name",
    "order": "a shorter name",
    "orders/x": "a name below",
    "*": "a glob",
    "**": "every name",
    "orders*": "a glob with a granted beginning",
}
#: Names that are none, though they look like granted ones to somebody.
TRICKS = [
    "", "/", "/orders", "orders/", "orders//", "./orders", "other/../orders", "orders/.", "orders ", " orders",
    "orders\n", "orders\x00", "orders%20", "%6frders", "orders?x", "orders#x", "orders;x", "orders\\x",
    "orders/$management",
    "$management", "$cbs", "orders/$Transfer/$DeadLetterQueue", "orders/$deadletterqueue/$deadletterqueue",
    "orders/$deadletterqueue/", "sb://evil/orders", "//evil/orders", "amqps://evil.example/orders", "orders@evil",
    "\N{FULLWIDTH LATIN SMALL LETTER O}rders", "\N{LATIN SMALL LETTER LONG S}orders",
    "orders/subscriptions/", "orders/subscriptions",
    "subscriptions/orders", "orders/subscriptions/mine/rules/$default", "x" * 261,
]  # fmt: skip


ATTEMPTS = (sending, scheduling, cancelling, receiving)


async def refusals(world: World, names: Iterable[str]) -> list[str]:
    """What got through: nothing."""
    through = []
    for entity in names:
        for attempt in ATTEMPTS:
            try:
                await attempt(world, entity)
            except CallError as refused:
                if refused.reason in (Reason.CAPABILITY_MISSING, Reason.REQUEST_INVALID):
                    continue
            through.append(f"{attempt.__name__} {entity!r}")
    return through


async def test_what_was_not_granted_is_refused(world: World) -> None:
    assert await refusals(world, OUTSIDE) == []


async def test_names_that_are_none_reach_nothing_whatever_was_granted(kind: str) -> None:
    async with world_of(kind) as world:
        assert await refusals(world, TRICKS) == []


async def test_what_was_granted_works_in_any_case_of_letters(world: World) -> None:
    for name in ("orders", "ORDERS", "Orders"):
        await sending(world, name)
    receiver = (await world.call("open_receiver", entity="oRdErS")).receiver
    found = await world.call("receive", receiver=receiver, max_messages=3, max_wait_millis=2000)
    assert len(found.messages) == 3
    await receiving(world, "News/subscriptions/MINE")


async def test_a_deny_rule_holds_in_any_case_of_letters(kind: str) -> None:
    async with world_of(kind, "servicebus.send:**", "servicebus.receive:**", deny=["servicebus.send:Orders"]) as world:
        for name in ("orders", "ORDERS", "oRDERS"):
            with pytest.raises(CallError) as refused:
                await sending(world, name)
            assert refused.value.reason == Reason.CAPABILITY_MISSING
        await receiving(world, "ORDERS")
        await sending(world, "other")


async def test_dead_letters_are_a_right_of_their_own(kind: str) -> None:
    async with world_of(kind, "servicebus.receive:orders/$DeadLetterQueue") as world:
        await receiving(world, "orders/$deadletterqueue")
        with pytest.raises(CallError) as refused:
            await receiving(world, "orders")
        assert refused.value.remedy == "moorage grant churn 'servicebus.receive:orders'"


async def test_a_refusal_names_the_command_that_grants_it(kind: str) -> None:
    async with world_of(kind, "servicebus.send:other") as world:
        for entity, text in {
            "Orders": "servicebus.receive:orders",
            "orders/$DeadLetterQueue": "servicebus.receive:orders/$deadletterqueue",
            "News/Subscriptions/Mine": "servicebus.receive:news/subscriptions/mine",
        }.items():
            with pytest.raises(CallError) as refused:
                await receiving(world, entity)
            assert refused.value.remedy == f"moorage grant churn '{text}'"
            assert parse(text) == need("servicebus.receive", str(source(entity)))


def test_capabilities_name_subscriptions_and_subqueues_without_the_backend() -> None:
    for text, resource in {
        "servicebus.receive:orders": "main/orders",
        "servicebus.receive:Orders/Subscriptions/Billing": "main/orders/subscriptions/billing",
        "servicebus.receive:main/orders/subscriptions/billing": "main/orders/subscriptions/billing",
        "servicebus.receive:orders/$DeadLetterQueue": "main/orders/$deadletterqueue",
        "servicebus.receive:shop/orders": "shop/orders",
        "servicebus.receive:shop/orders/subscriptions/billing": "shop/orders/subscriptions/billing",
        "servicebus.receive:shop/orders/$deadletterqueue": "shop/orders/$deadletterqueue",
        "servicebus.receive:orders/subscriptions/*": "main/orders/subscriptions/*",
        "servicebus.send:*": "main/*",
    }.items():
        right = parse(text)
        assert right.resource == resource
        assert parse(str(right)) == right
    one_level = parse("servicebus.receive:*")
    assert one_level.covers(need("servicebus.receive", "orders"))
    assert not one_level.covers(need("servicebus.receive", "orders/$deadletterqueue"))
    assert not parse("servicebus.send:orders").covers(need("servicebus.receive", "orders"))


def test_nothing_is_sent_to_a_subscription_or_a_subqueue() -> None:
    for text in ("orders/subscriptions/a", "orders/$deadletterqueue"):
        with pytest.raises(CallError, match="Nothing can be sent to"):
            target(text)
    assert str(target("a/B.c_d-e")) == "a/b.c_d-e"


@pytest.mark.system
async def test_a_receiver_goes_with_its_grant_and_its_messages_come_back() -> None:
    async with brokered(ServiceBusBackend(), grants(*GRANTED)) as (world, service, _):
        await sending(world, "orders")
        receiver = (await world.call("open_receiver", entity="orders")).receiver
        await world.call("receive", receiver=receiver, max_wait_millis=2000)
        await world.link.session.set_grants(grants("servicebus.send:orders", epoch=1))
        with pytest.raises(CallError) as revoked:
            await world.call("receive", receiver=receiver, max_wait_millis=100)
        assert revoked.value.reason == Reason.GRANT_REVOKED
        (stored,) = embedded(service).queue("orders")
        assert stored.delivery_count == 1


# -- with the gate's check left out ------------------------------------------------------------------------------


class Lenient:
    """A guard that allows everything: what a mistake in the gate would do."""

    def __init__(self, guard: CallGuard | None = None) -> None:
        self._guard = guard

    def require(self, needed) -> None: ...

    def covers(self, needed) -> bool:
        return True


def unchecked(world: LinkWorld, caller: Caller) -> Caller:
    scope = world.link.session._link.scopes["e-1"]
    return replace(caller, scope=scope, guard=Lenient())


def embedded(service: ServiceBusService):
    return service._namespaces["main"].embedded.namespace


@pytest.mark.system
async def test_the_embedded_namespace_refuses_what_the_gate_let_through(caller: Caller) -> None:
    async with brokered(ServiceBusBackend(), grants(*GRANTED)) as (world, service, _):
        by_mistake = unchecked(world, caller)
        for entity in ("other", "news"):
            with pytest.raises(CallError, match="itself does not let this host use") as refused:
                await service.send(by_mistake, Send(entity=entity, messages=[Message()]))
            assert refused.value.reason == Reason.BACKEND_FAILED
        for entity in ("other", "orders/$deadletterqueue", "news/subscriptions/theirs"):
            with pytest.raises(CallError, match="itself does not let this host use"):
                await service.open_receiver(by_mistake, Open(entity=entity))
        await service.send(by_mistake, Send(entity="orders", messages=[Message()]))
        await service.open_receiver(by_mistake, Open(entity="news/subscriptions/mine"))
        other = replace(by_mistake, installation="nobody")
        with pytest.raises(CallError, match="itself does not let this host use"):
            await service.send(other, Send(entity="orders", messages=[Message()]))


@pytest.mark.system
async def test_so_does_a_namespace_with_a_key_for_the_installation(caller: Caller) -> None:
    keys = {"root": ("c2VjcmV0", None), "churn": ("Y2h1cm4=", {"Send": ["orders"], "Listen": ["mail"]})}
    with servicebus_server(keys=keys) as server:
        own = {"churn": server.connection_string("churn")}
        backend = ServiceBusBackend(connection_string=server.connection_string(), connection_strings=own)
        async with brokered(backend) as (world, service, _):
            by_mistake = unchecked(world, caller)
            for entity in ("mail", "other"):
                with pytest.raises(CallError):
                    await service.send(by_mistake, Send(entity=entity, messages=[Message()]))
            with pytest.raises(CallError, match="itself does not let this host use"):
                await service.open_receiver(by_mistake, Open(entity="orders"))
            await service.send(by_mistake, Send(entity="orders", messages=[Message()]))
            await service.send(replace(by_mistake, installation="other"), Send(entity="mail", messages=[Message()]))
            await service.open_receiver(by_mistake, Open(entity="mail"))


@pytest.mark.system
async def test_installations_share_queues_but_neither_links_nor_handles() -> None:
    service = ServiceBusService.from_settings({"main": ServiceBusBackend()})
    broker = Broker([service], RecordingAudit())
    await broker.open()
    allowed: Grants = grants("servicebus.send:orders", "servicebus.receive:orders")
    async with connected(broker, allowed) as one, connected(broker, allowed, installation="other") as two:
        first, second = LinkWorld(one), LinkWorld(two)
        await sending(first, "orders")
        await sending(second, "orders")
        assert {installation for installation, _ in service._namespaces["main"]._senders} == {"churn", "other"}
        receiver = (await first.call("open_receiver", entity="orders")).receiver
        (found,) = (await first.call("receive", receiver=receiver, max_wait_millis=2000)).messages
        with pytest.raises(CallError) as unknown:
            await second.call("settle", receiver=receiver, delivery=found.delivery, settlement=1)
        assert unknown.value.reason == Reason.HANDLE_UNKNOWN
    await broker.close()
