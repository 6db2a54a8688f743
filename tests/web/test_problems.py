"""Requests that cannot be answered, and a host that breaks."""

from __future__ import annotations

import logging

import pytest

from moorage.web.values import MAX_DEPTH, check_input
from moorage_proto.values import MAX_DEPTH as CONTRACT_DEPTH


async def test_an_invalid_request_names_each_field(client):
    answer = await client.post("/installations/churn/executions", json={"task": "", "wait": "perhaps", "colour": 1})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "request_invalid"
    assert {error["where"] for error in problem["errors"]} == {"body.task", "body.wait", "body.colour"}
    assert "body.task: " in problem["detail"]


@pytest.mark.parametrize("body", ["{", "[1, 2", '{"input": 1} x', "[" * 100_000, '"text"', "nul"])
async def test_a_body_that_is_no_document_is_refused(client, body):
    answer = await client.post(
        "/installations/churn/executions", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] == "request_invalid"


@pytest.mark.parametrize(
    "value", [r'"\ud800"', r'{"\udfff": 1}', "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), r'["ok", ["\udc00"]]']
)
async def test_input_that_cannot_cross_is_refused(client, value):
    answer = await client.post(
        "/installations/churn/executions",
        content=f'{{"input": {value}, "wait": true}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text


async def test_input_at_the_limit_crosses(client):
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    answer = await client.post(
        "/installations/churn/executions",
        content=f'{{"input": {deep}, "wait": true}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.json()["state"] == "succeeded"


def test_the_depth_is_the_contract_s():
    assert MAX_DEPTH == CONTRACT_DEPTH
    check_input({"a": [1, "two", None]})


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many", "after=-1", "after=9223372036854775808"])
async def test_limits_are_checked(client, query):
    assert (await client.get(f"/logs?{query}")).status_code == 422


async def test_unknown_routes_and_methods_are_problems(client):
    missing = await client.get("/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_route")
    wrong = await client.put("/installations")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]


async def test_an_unexpected_error_is_logged_and_told_without_details(client, host, caplog):
    async def explode(_name):
        raise RuntimeError("dsn postgres://secret")

    host.installation = explode
    with caplog.at_level(logging.ERROR):
        answer = await client.get("/installations/churn")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text
    (record,) = [record for record in caplog.records if record.name == "moorage.web.problems"]
    assert "GET /api/v1/installations/churn" in record.message
    assert record.exc_info is not None
