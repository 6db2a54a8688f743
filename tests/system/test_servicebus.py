"""Service Bus in a real, sandboxed worker, sync and asyncio, with Azure's own client as the other party."""

from __future__ import annotations

import asyncio
from pathlib import Path

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from plugin_projects import write_plugin

from moorage.app import Host

PLUGIN = """
    from moorage_sdk import CapabilityMissing, Plugin
    from moorage_sdk.servicebus import ServiceBusClient, ServiceBusMessage, aio

    plugin = Plugin()

    @plugin.task
    def invoices(bus: ServiceBusClient) -> list:
        done = []
        with bus.get_queue_receiver("orders", max_wait_time=0.5) as orders, bus.get_queue_sender("invoices") as sender:
            for order in orders:
                sender.send_messages(ServiceBusMessage(f"invoice for {order}", message_id=order.message_id))
                orders.complete_message(order)
                done.append(str(order))
        return done

    @plugin.task
    async def waits(bus: aio.ServiceBusClient) -> int:
        receiver = bus.get_queue_receiver("orders")
        (order,) = await receiver.receive_messages(max_wait_time=20)
        return order.delivery_count

    @plugin.task
    def refused(bus: ServiceBusClient) -> str:
        try:
            bus.get_queue_receiver("invoices").receive_messages(max_wait_time=1)
        except CapabilityMissing as error:
            return error.remedy
        return "it was let through"
"""

RIGHTS = ["servicebus.receive:orders", "servicebus.send:invoices"]


async def test_a_plugin_uses_service_bus(host: Host, tmp_path: Path) -> None:
    await host.install(write_plugin(tmp_path, PLUGIN, required=RIGHTS), grant_required=True)
    text = host.servicebus_connection_strings["main"]
    async with asyncio.timeout(50), ServiceBusClient.from_connection_string(text, retry_total=0) as azure:
        async with azure.get_queue_sender("orders") as orders:
            waiting = asyncio.create_task(host.call("probe", "waits"))
            await orders.send_messages(ServiceBusMessage("1 cup", message_id="o-1"))
            assert await waiting == 0
            # It had not settled it, so it comes again; and what it has settled does not.
            await orders.send_messages(ServiceBusMessage("2 cups", message_id="o-2"))
            assert await host.call("probe", "invoices") == ["1 cup", "2 cups"]
            assert await host.call("probe", "invoices") == []
        async with azure.get_queue_receiver("invoices") as invoices:
            found = await invoices.receive_messages(max_message_count=2, max_wait_time=5)
            assert [(str(each), each.message_id) for each in found] == [
                ("invoice for 1 cup", "o-1"),
                ("invoice for 2 cups", "o-2"),
            ]
    assert await host.call("probe", "refused") == "moorage grant probe 'servicebus.receive:invoices'"
