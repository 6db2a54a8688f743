"""The host refuses to start with a method that has no check or no handler."""

from __future__ import annotations

from typing import Any

import probe_contract
import pytest
from memory_link import RecordingAudit
from probe_service import ProbeService

from moorage.broker.broker import Broker
from moorage.broker.methods import HandlerKind, ServiceUnusable, build_table
from moorage_proto import access_pb2, config_pb2, kafka_pb2
from moorage_proto.capability import need
from moorage_proto.rules import AccessRuleMissing

_OWN = access_pb2.Access(own_reason="a test's own")
_GET = (config_pb2.GetSettingRequest, config_pb2.GetSettingReply)
_RULES: dict[str, access_pb2.Access | None] = {
    "norule": None,
    "emptyrule": access_pb2.Access(),
    "noreason": access_pb2.Access(own_reason="  "),
    "nofield": access_pb2.Access(needs=access_pb2.Needs(all=[access_pb2.Need(verb="a.b", resource_paths=["nope"])])),
    "noneeds": access_pb2.Access(needs=access_pb2.Needs()),
    "noverbs": access_pb2.Access(late=access_pb2.Late()),
    "nohandle": access_pb2.Access(handle="nope"),
    "noclassifier": access_pb2.Access(classify="nobody"),
}


class _Get:
    """Serves the one method of a contract."""

    def __init__(self, contract: Any) -> None:
        self.contract = contract
        self.opened = False

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.opened = False

    def get(self, caller: Any, request: config_pb2.GetSettingRequest) -> config_pb2.GetSettingReply:
        return config_pb2.GetSettingReply()


@pytest.mark.parametrize("name", sorted(_RULES))
async def test_a_method_without_a_usable_rule_stops_the_host(name: str) -> None:
    service = _Get(probe_contract.make_service(name, (("Get", *_GET, False, False, _RULES[name]),)))
    with pytest.raises(AccessRuleMissing, match=f"/moorage.test.{name}.Probe/Get has no usable access rule"):
        await Broker([service], RecordingAudit()).open()
    assert not service.opened


async def test_with_a_rule_the_same_service_starts() -> None:
    service = _Get(probe_contract.make_service("goodrule", (("Get", *_GET, False, False, _OWN),)))
    broker = Broker([service], RecordingAudit())
    await broker.open()
    assert list(broker.methods) == ["/moorage.test.goodrule.Probe/Get"]
    await broker.close()
    assert not service.opened


async def test_a_registered_classifier_is_used() -> None:
    rule = access_pb2.Access(classify="by key")
    service = _Get(probe_contract.make_service("classified", (("Get", *_GET, False, False, rule),)))
    table = build_table([service], {"by key": lambda request: (need("a.b", request.key),)})
    needs = table["/moorage.test.classified.Probe/Get"].rule.needs
    assert needs is not None
    assert needs(config_pb2.GetSettingRequest(key="x")) == (need("a.b", "x"),)


async def test_a_missing_handler_stops_the_host() -> None:
    service = _Get(probe_contract.make_service("nohandler", (("Put", *_GET, False, False, _OWN),)))
    with pytest.raises(ServiceUnusable, match="_Get has no method 'put'"):
        await Broker([service], RecordingAudit()).open()


async def test_a_method_named_as_a_services_own_life_stops_the_host() -> None:
    service = _Get(probe_contract.make_service("reserved", (("Close", *_GET, False, False, _OWN),)))
    with pytest.raises(ServiceUnusable, match="'close' is a service's own name"):
        await Broker([service], RecordingAudit()).open()


@pytest.mark.parametrize(("client", "server"), [(True, False), (False, True), (True, True)])
async def test_a_handler_of_the_wrong_kind_stops_the_host(client: bool, server: bool) -> None:
    name = f"kind{int(client)}{int(server)}"
    service = _Get(probe_contract.make_service(name, (("Get", *_GET, client, server, _OWN),)))
    with pytest.raises(ServiceUnusable, match="stream"):
        await Broker([service], RecordingAudit()).open()


async def test_two_services_of_one_contract_stop_the_host() -> None:
    with pytest.raises(ServiceUnusable, match="two services"):
        await Broker([ProbeService(), ProbeService()], RecordingAudit()).open()


async def test_handlers_have_the_kinds_that_their_methods_call_for(broker: Broker) -> None:
    kinds = {path.rpartition("/")[2]: method.kind for path, method in broker.methods.items()}
    assert kinds == {
        "Peek": HandlerKind.INLINE,
        "Send": HandlerKind.UNARY,
        "SendMany": HandlerKind.CLIENT_STREAM,
        "Echo": HandlerKind.BOTH_STREAM,
        "Name": HandlerKind.INLINE,
        "Connect": HandlerKind.UNARY,
        "Query": HandlerKind.SERVER_STREAM,
        "Read": HandlerKind.SERVER_STREAM,
        "Own": HandlerKind.INLINE,
    }


async def test_a_service_that_does_not_open_ends_those_opened_before_it() -> None:
    class Broken(_Get):
        async def open(self) -> None:
            raise RuntimeError("no server")

    first = ProbeService()
    second = Broken(probe_contract.make_service("broken", (("Get", *_GET, False, False, _OWN),)))
    with pytest.raises(RuntimeError, match="no server"):
        await Broker([first, second], RecordingAudit()).open()
    assert first.events == ["open", "close"]


async def test_an_incarnation_connects_once(connect: Any) -> None:
    async with connect():
        with pytest.raises(ValueError, match="connected already"):
            async with connect():
                pass
    async with connect() as link:
        await link.worker.call(
            probe_contract.METHODS["send"], kafka_pb2.ProduceRequest(topic="t"), scope="e-1", timeout=5
        )
