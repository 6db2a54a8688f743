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
from moorage_proto import capability, http_pb2
from moorage_proto.capability import Capability
from moorage_proto.classifiers import CLASSIFIED_VERBS, CLASSIFIERS, verbs_of
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.methods import Method, methods_of
from moorage_proto.rules import compile_rule

#: Called by the host on workers, and the link itself.
NOT_BROKERED = {"moorage.v1.PluginService", "moorage.v1.LinkService"}


def _services() -> tuple[Any, ...]:
    """All that the generated modules declare, so that a new one is tested without a line here."""
    found = []
    for module in pkgutil.iter_modules(moorage_proto.__path__):
        if module.name.endswith("_pb2"):
            descriptor = importlib.import_module(f"moorage_proto.{module.name}").DESCRIPTOR
            found += descriptor.services_by_name.values()
    return tuple(service for service in found if service.full_name not in NOT_BROKERED)


SERVICES = _services()
METHODS = {method.path: method for service in SERVICES for method in methods_of(service).values()}
PATHS = sorted(METHODS)

#: A request for each classifier: what it makes of one whose texts are all alike says little.
CLASSIFIED = {
    "http": http_pb2.HttpRequestItem(head=http_pb2.HttpRequestHead(method="GET", url="https://example.com/a?b")),
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
async def stubs(audit: RecordingAudit) -> AsyncIterator[Broker]:
    broker = Broker([Stub(service) for service in SERVICES], audit)
    await broker.open()
    yield broker
    await broker.close()


def _request(method: Method[Any, Any], handle: int) -> Any:
    """Every text is "thing", and where the rule looks for a handle stands this one."""
    access = method.access
    if access.classify:
        return CLASSIFIED[access.classify]
    request = method.request()
    _fill(request)
    for need in access.needs.all:
        for path in need.resource_paths:
            _set(request, path.split("."), "thing")
    if access.handle:
        _set(request, access.handle.split("."), handle)
    return request


def _fill(request: Any) -> None:
    for field in request.DESCRIPTOR.fields:
        if isinstance(getattr(request, field.name), str) and field.name != "backend":
            setattr(request, field.name, "thing")


def _set(holder: Any, path: list[str], value: Any) -> None:
    """At a path of the contract; of what is repeated, one."""
    inner = getattr(holder, path[0])
    repeated = hasattr(inner, "__len__") and not isinstance(inner, (str, bytes))
    if len(path) > 1:
        _set(inner.add() if repeated else inner, path[1:], value)
    elif repeated:
        inner.append(value)
    else:
        setattr(holder, path[0], value)


def _needs(method: Method[Any, Any]) -> tuple[Capability, ...]:
    """Of the request above; of a late rule, what the handler above asks for."""
    rule = compile_rule(method, CLASSIFIERS)
    if rule.needs is not None:
        return rule.needs(_request(method, 0))
    return tuple(capability.need(verb, "thing") for verb in rule.late_verbs)


#: Those that take a capability.
GUARDED = [path for path in PATHS if _needs(METHODS[path])]


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


@pytest.mark.parametrize("path", PATHS)
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


@pytest.mark.parametrize("path", PATHS)
async def test_with_the_grants_it_passes(stubs: Broker, path: str) -> None:
    method = METHODS[path]
    async with connected(stubs, grants(*map(str, _needs(method)))) as link:
        handle = link.session._link.scopes[SCOPE].hold(HeldThing())
        await _make(link, method, handle)


@pytest.mark.parametrize("path", GUARDED)
async def test_a_deny_rule_beats_the_grants(stubs: Broker, path: str) -> None:
    method = METHODS[path]
    rights = [str(need) for need in _needs(method)]
    async with connected(stubs, grants(*rights, deny=rights[-1:])) as link:
        with pytest.raises(CallError, match="an operator has denied") as refused:
            await _make(link, method, 1)
        assert refused.value.reason == Reason.CAPABILITY_MISSING


@pytest.mark.parametrize("path", GUARDED)
async def test_what_fails_closed_is_refused_while_the_audit_cannot_be_written(
    stubs: Broker, audit: RecordingAudit, path: str
) -> None:
    method = METHODS[path]
    rights = [str(need) for need in _needs(method)]
    async with connected(stubs, grants(*rights, fail_closed=rights[-1:])) as link:
        audit.down = "store"
        with pytest.raises(CallError, match="only while the host's audit can be written") as refused:
            await _make(link, method, 1)
        assert (refused.value.status, refused.value.retryable) == (Status.UNAVAILABLE, True)
        audit.down = ""
        await _make(link, method, 1)
        assert audit.in_full


async def test_whatever_bytes_come_as_a_request_the_link_lives_and_the_host_has_no_fault(stubs: Broker) -> None:
    chance = random.Random(2026)
    async with connected(stubs, grants("config.read:**", "kafka.produce:**", "sql.read:**")) as link:
        for path in PATHS * 20:
            answered: asyncio.Future[CallError | None] = asyncio.get_running_loop().create_future()
            request = chance.randbytes(chance.randrange(40))
            link.worker.start(path, request, lambda _, error, done=answered: done.set_result(error), scope=SCOPE)
            if METHODS[path].client_streaming:
                # It waits for items; the end of the link answers it.
                continue
            error = await answered
            assert error is None or error.reason != Reason.INTERNAL
        assert not link.worker.closed.done()


def test_every_way_to_decide_is_among_them() -> None:
    """Nothing of this passes because there was nothing to test."""
    assert {METHODS[path].access.WhichOneof("rule") for path in PATHS} == {
        "needs",
        "classify",
        "late",
        "handle",
        "own_reason",
    }
    assert any(METHODS[path].client_streaming and METHODS[path].server_streaming for path in PATHS)


def test_every_classifier_tells_its_verbs_and_has_an_example_here() -> None:
    assert set(CLASSIFIERS) == set(CLASSIFIED_VERBS)
    named = {method.access.classify for method in METHODS.values()} - {""}
    assert named <= set(CLASSIFIED), "give each classifier a request in CLASSIFIED"
    for method in METHODS.values():
        assert {need.verb for need in _needs(method)} <= verbs_of(method)
