"""The resource of a need as a text with fields in braces."""

from __future__ import annotations

from typing import Any

import pytest
from probe_contract import make_service

from moorage_proto import access_pb2, kafka_pb2, log_pb2
from moorage_proto.capability import Capability
from moorage_proto.errors import CallError, Reason
from moorage_proto.methods import methods_of
from moorage_proto.rules import MAX_RESOURCES, AccessRuleMissing, compile_rule

_numbers = iter(range(1000))


def needs_of(request: Any, *resources: str) -> Any:
    needs = [access_pb2.Need(verb="kafka.produce", resource=resource) for resource in resources]
    rule = access_pb2.Access(needs=access_pb2.Needs(all=needs))
    made = make_service(f"resource{next(_numbers)}", (("Send", type(request), type(request), False, False, rule),))
    classify = compile_rule(methods_of(made)["send"], {}).needs
    assert classify is not None
    return classify(request)


@pytest.mark.parametrize(
    ("resource", "found"),
    [("all", "main/all"), ("to/{topic}", "main/to/plays"), ("{topic}/{partition}", "main/plays/7")],
)
def test_fields_stand_in_the_text(resource, found):
    request = kafka_pb2.ProduceRequest(topic="plays", partition=7)
    assert needs_of(request, resource) == (Capability("kafka.produce", found),)


def test_several_needs():
    request = kafka_pb2.ProduceRequest(topic="plays")
    assert [need.resource for need in needs_of(request, "{topic}", "all")] == ["main/plays", "main/all"]


def test_no_value_reaches_into_the_next_field():
    request = kafka_pb2.ProduceRequest(topic="plays/7", partition=7)
    with pytest.raises(CallError, match="topic must not hold /, which stands between") as caught:
        needs_of(request, "{topic}/{partition}")
    assert caught.value.reason == Reason.REQUEST_INVALID
    assert needs_of(request, "{topic}")[0].resource == "main/plays/7"


@pytest.mark.parametrize(
    ("resource", "problem"),
    [
        ("{topic}{partition}", "nothing tells them apart"),
        ("{topic}and{partition}", "no sign such as / stands between"),
        ("{topics}", "has no field 'topics'"),
        ("{headers}", "has many values"),
    ],
)
def test_what_cannot_be_told_apart_stops_the_host(resource, problem):
    with pytest.raises(AccessRuleMissing, match=problem):
        needs_of(kafka_pb2.ProduceRequest(), resource)


def test_path_and_text_together_are_refused():
    need = access_pb2.Need(verb="log.name", resource_paths=["records.logger"], resource="all")
    rule = access_pb2.Access(needs=access_pb2.Needs(all=[need]))
    made = make_service(
        "resource_both", (("Send", log_pb2.WriteLogRequest, log_pb2.WriteLogReply, False, False, rule),)
    )
    with pytest.raises(AccessRuleMissing, match="both paths and a text"):
        compile_rule(methods_of(made)["send"], {})


def test_a_request_names_no_more_resources_than_can_be_decided_on():
    need = access_pb2.Need(verb="log.name", resource_paths=["records.logger"])
    rule = access_pb2.Access(needs=access_pb2.Needs(all=[need]))
    made = make_service(
        "resource_many", (("Send", log_pb2.WriteLogRequest, log_pb2.WriteLogReply, False, False, rule),)
    )
    classify = compile_rule(methods_of(made)["send"], {}).needs
    assert classify is not None
    request = log_pb2.WriteLogRequest()
    for _ in range(MAX_RESOURCES):
        request.records.add(logger="a")
    assert len(classify(request)) == MAX_RESOURCES
    request.records.add(logger="a")
    with pytest.raises(CallError, match="it names more than 10,000 resources; make several calls"):
        classify(request)
