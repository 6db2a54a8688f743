"""A plugin that is started by a queue, webhooks, events and another plugin's outcome, in real, sandboxed workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from plugin_projects import write_plugin
from servers.redis import free_port

from moorage.app import Host
from moorage.config.settings import Settings
from moorage.config.webhooks import WebhookSettings
from moorage.models.execution import Execution, ExecutionState
from moorage.orchestrator.triggers.signature import sign

PLUGIN = """
    from dataclasses import dataclass

    from moorage_sdk import Context, Plugin
    from moorage_sdk.messages import Ended, EventMessage, ServiceBusMessage, WebhookRequest

    plugin = Plugin()

    @dataclass
    class Order:
        number: int

    @plugin.task
    def ordered(ctx: Context, message: ServiceBusMessage) -> list:
        if message.body == b"broken" or ctx.attempt < message.application_properties.get("fails", 0) + 1:
            raise LookupError("no such order")
        return [ctx.trigger, ctx.attempt, message.message_id, message.json()["number"]]

    @plugin.task
    def sent(request: WebhookRequest) -> list:
        return [request.method, request.path, request.headers["x-sent-by"], request.json()["number"]]

    @plugin.task
    def placed(order: Order) -> int:
        return order.number

    @plugin.task
    def told() -> str:
        return "told"

    @plugin.task
    def after(ended: Ended) -> list:
        return [ended.task, ended.state, ended.result, len(ended.chain)]
"""

RIGHTS = ["servicebus.receive:orders", "events.subscribe:order.*", "executions.follow:probe"]

TRIGGERS = """
[[tool.moorage.triggers]]
servicebus = "orders"
task = "ordered"

[[tool.moorage.triggers]]
webhook = "orders"
task = "sent"
secret = "WEBHOOK_SECRET"

[[tool.moorage.triggers]]
event = "order.placed"
task = "placed"

[[tool.moorage.triggers]]
event = "order.told"
task = "told"
name = "told"

[[tool.moorage.triggers]]
outcome = "probe/sent"
task = "after"

[tool.moorage.policy]
retries = 2
backoff_first = "100ms"
"""


def written(folder: Path) -> Path:
    return write_plugin(folder, PLUGIN, required=RIGHTS, extra=TRIGGERS)


async def installed(host: Host, folder: Path) -> None:
    """All its triggers work."""
    await host.install(written(folder), grant_required=True)
    async with asyncio.timeout(20):
        while (bare := await host.triggers.show("probe/webhook")).condition != "failing":
            await asyncio.sleep(0.01)
        assert "moorage secrets set probe WEBHOOK_SECRET" in bare.reason
        await host.secrets.set("probe", "WEBHOOK_SECRET", "s1")
        while {view.condition for view in await host.triggers.list("probe")} != {"active"}:
            await asyncio.sleep(0.01)


async def ended(host: Host, task: str, count: int = 1) -> list[Execution]:
    """So many of the task, with their outcomes."""
    async with asyncio.timeout(40):
        while True:
            found = [each for each in await host.executions(installation="probe") if each.task == task]
            if len(found) >= count and all(each.state.is_outcome for each in found):
                return [await host.execution(each.id) for each in found]
            await asyncio.sleep(0.05)


async def test_what_services_bring_is_executed_and_acknowledged(open_host: Callable, tmp_path: Path) -> None:
    async with open_host(webhooks=WebhookSettings(listen="127.0.0.1:0")) as host:
        await installed(host, tmp_path)
        await _queue(host)
        await _events(host)


async def _queue(host: Host) -> None:
    text = host.servicebus_connection_strings["main"]
    async with asyncio.timeout(60), ServiceBusClient.from_connection_string(text, retry_total=0) as azure:
        async with azure.get_queue_sender("orders") as orders:
            await orders.send_messages(ServiceBusMessage('{"number": 1}', message_id="o-1"))
            tries = {"fails": 1}
            await orders.send_messages(
                ServiceBusMessage('{"number": 2}', message_id="o-2", application_properties=tries)
            )
            await orders.send_messages(ServiceBusMessage("broken", message_id="o-3"))
        first, second, third = sorted(await ended(host, "ordered", 3), key=lambda each: each.key)
        assert first.result == ["servicebus", 1, "o-1", 1]
        assert second.result == ["servicebus", 2, "o-2", 2]
        assert (third.state, third.attempt) == (ExecutionState.FAILED, 3)
        async with azure.get_queue_receiver("orders", sub_queue="deadletter") as dead:
            (message,) = await dead.receive_messages(max_wait_time=20)
            assert (message.message_id, message.dead_letter_reason) == ("o-3", "MoorageFailed")
            assert "LookupError: no such order" in message.dead_letter_error_description
        async with azure.get_queue_receiver("orders") as rest:
            assert await rest.peek_messages(10) == []


async def _events(host: Host) -> None:
    host.bus.publish("order.placed", {"number": 7})
    host.bus.publish("order.told", {"number": 8})
    (placed,) = await ended(host, "placed")
    (told,) = await ended(host, "told")
    assert (placed.result, told.result) == (7, "told")
    assert placed.trigger_id == "probe/event"


async def test_a_webhook_and_what_follows_on_it(open_host: Callable, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    async with open_host(webhooks=WebhookSettings(listen=address)) as host, httpx.AsyncClient() as client:
        await installed(host, tmp_path)
        url, body = f"http://{address}/v1/webhooks/probe/orders", b'{"number": 7}'

        def headers(secret: str) -> dict[str, str]:
            signature = sign(secret, body, datetime.now(UTC))
            return {"Moorage-Signature": signature, "Idempotency-Key": "order-7", "X-Sent-By": "shop"}

        assert (await client.post(url, content=body, headers=headers("s2"))).status_code == 401
        assert (await client.post(f"{url}s", content=body, headers=headers("s1"))).status_code == 401
        first = await client.post(url, content=body, headers=headers("s1"))
        again = await client.post(url, content=body, headers=headers("s1"))
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["execution"] == again.json()["execution"]
        (sent,) = await ended(host, "sent")
        assert (sent.id, sent.result) == (first.json()["execution"], ["POST", "/v1/webhooks/probe/orders", "shop", 7])
        (after,) = await ended(host, "after")
        assert after.result == ["sent", "succeeded", sent.result, 0]
        await host.disable("probe")
        refused = await client.post(url, content=body, headers={**headers("s1"), "Idempotency-Key": "order-8"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert (await client.post(url, content=body, headers=headers("s2"))).status_code == 401


REQUEST = {"method": "POST", "path": "/", "headers": {"x-sent-by": "a"}, "body": b'{"number": 1}'}


async def test_an_outcome_is_followed_after_the_host_was_away(settings: Settings, tmp_path: Path) -> None:
    """The trigger is paused while what it follows ends, and resumed under the next host."""
    async with Host(settings) as host:
        await installed(host, tmp_path)
        await host.call("probe", "sent", REQUEST)
        await ended(host, "after")
        await host.triggers.pause("probe/outcome", reason="the host goes away")
        await host.call("probe", "sent", REQUEST)
    async with Host(settings) as host:
        await host.triggers.resume("probe/outcome")
        assert len(await ended(host, "after", 2)) == 2
