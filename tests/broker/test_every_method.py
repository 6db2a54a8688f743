"""Every method of the contract, taken from its descriptors: without grants it is denied, with them it passes."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from memory_link import SCOPE, Connected, RecordingAudit, connected, grants
from probe_service import HeldThing

import moorage_proto
from moorage.broker.broker import Broker
from moorage.broker.services.base import Caller
from moorage_proto import (
    capability,
    config_pb2,
    console_pb2,
    execution_pb2,
    http_pb2,
    kafka_pb2,
    log_pb2,
    secrets_pb2,
    servicebus_pb2,
    sql_pb2,
)
from moorage_proto.errors import CallError, Reason
from moorage_proto.methods import Method, methods_of

#: Called by the host on workers, and the link itself.
NOT_BROKERED = {"moorage.v1.PluginService", "moorage.v1.LinkService"}

SERVICES = tuple(
    service
    for module in (
        config_pb2,
        console_pb2,
        execution_pb2,
        http_pb2,
        kafka_pb2,
        log_pb2,
        secrets_pb2,
        servicebus_pb2,
        sql_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)
METHODS = {method.path: method for service in SERVICES for method in methods_of(service).values()}

#: A request for each classifier, and the rights that it needs.
CLASSIFIED = {
    "http": (
        http_pb2.HttpRequestItem(head=http_pb2.HttpRequestHead(method="GET", url="https://example.com/a?b")),
        "http.get:https://example.com/a",
    ),
}


class Stub:
    """Serves a whole contract; late handlers decide for every verb of their rule."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        for method in methods_of(contract).values():
            setattr(self, method.name, _handler(method))

    async def open(self) -> None: ...

    async def close(self) -> None: ...


def _handler(method: Method[Any, Any]) -> Any:
    def decide(caller: Caller) -> Any:
        if caller.guard is not None:
            for verb in method.access.late.verbs:
                caller.guard.require(capability.need(verb, "thing"))
        return method.reply()

    async def unary(caller: Caller, request: Any) -> Any:
        if method.client_streaming:
            async for _ in request:
                pass
        return decide(caller)

    async def stream(caller: Caller, request: Any) -> AsyncIterator[Any]:
        if method.client_streaming:
            async for _ in request:
                pass
        yield decide(caller)

    return stream if method.server_streaming else unary


@pytest.fixture
async def stubs() -> AsyncIterator[Broker]:
    broker = Broker([Stub(service) for service in SERVICES], RecordingAudit())
    await broker.open()
    yield broker
    await broker.close()


def _request(method: Method[Any, Any], handle: int) -> Any:
    """Every text is "thing", every number the handle."""
    if method.access.classify:
        return CLASSIFIED[method.access.classify][0]
    request = method.request()
    for field in method.request.DESCRIPTOR.fields:
        value = getattr(request, field.name)
        if isinstance(value, str) and field.name != "backend":
            setattr(request, field.name, "thing")
        elif type(value) is int and field.name in ("cursor", "connection", "receiver"):
            setattr(request, field.name, handle)
    return request


async def _make(link: Connected, method: Method[Any, Any], handle: int) -> None:
    request = _request(method, handle)
    call = link.worker.open(method, None if method.client_streaming else request, scope=SCOPE, timeout=5)
    if method.client_streaming:
        await call.send_item(request)
        call.half_close()
    if method.server_streaming:
        assert [item async for item in call]
    else:
        await call.result()


@pytest.mark.parametrize("path", sorted(METHODS))
async def test_without_grants_it_is_denied(stubs: Broker, path: str) -> None:
    method = METHODS[path]
    kind = method.access.WhichOneof("rule")
    async with connected(stubs, grants()) as link:
        if kind == "own_reason":
            await _make(link, method, 1)
            return
        with pytest.raises(CallError) as refused:
            await _make(link, method, 1)
        assert refused.value.reason == (Reason.HANDLE_UNKNOWN if kind == "handle" else Reason.CAPABILITY_MISSING)


@pytest.mark.parametrize("path", sorted(METHODS))
async def test_with_the_grants_it_passes(stubs: Broker, path: str) -> None:
    method = METHODS[path]
    verbs = [need.verb for need in method.access.needs.all] + list(method.access.late.verbs)
    rights = [f"{verb}:thing" for verb in verbs] + list(CLASSIFIED.get(method.access.classify, (None,))[1:])
    async with connected(stubs, grants(*rights)) as link:
        handle = link.session._link.scopes[SCOPE].hold(HeldThing())
        await _make(link, method, handle)


async def test_whatever_bytes_come_as_a_request_the_link_lives_and_the_host_has_no_fault(stubs: Broker) -> None:
    chance = random.Random(2026)
    async with connected(stubs, grants("config.read:**", "kafka.produce:**", "sql.read:**")) as link:
        for path in sorted(METHODS) * 20:
            answered: asyncio.Future[CallError | None] = asyncio.get_running_loop().create_future()
            request = chance.randbytes(chance.randrange(40))
            link.worker.start(path, request, lambda _, error, done=answered: done.set_result(error), scope=SCOPE)
            if METHODS[path].client_streaming:
                # It waits for items; the end of the link answers it.
                continue
            error = await answered
            assert error is None or error.reason != Reason.INTERNAL
        assert not link.worker.closed.done()


def test_no_service_of_the_contract_is_left_out() -> None:
    """Every generated module is imported, and what it declares is tested here."""
    names = set()
    for module in pkgutil.iter_modules(moorage_proto.__path__):
        if module.name.endswith("_pb2"):
            descriptor = importlib.import_module(f"moorage_proto.{module.name}").DESCRIPTOR
            names |= {service.full_name for service in descriptor.services_by_name.values()}
    assert names - NOT_BROKERED == {service.full_name for service in SERVICES}
