"""Selecting installations through the API, and running something on all of them."""

from __future__ import annotations

import pytest


def names(answer):
    return [item["id"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["churn", "geo-tag"]),
        ({"tag": "reporting"}, ["churn"]),
        ({"tag": ["reporting", "AutoRun"]}, ["churn"]),
        ({"tag": ["reporting", "other"]}, []),
        ({"not_tag": "reporting"}, ["geo-tag"]),
        ({"version": ">=1"}, ["churn", "geo-tag"]),
        ({"version": "<1"}, []),
        ({"name": "geo-*"}, ["geo-tag"]),
        ({"capability": "sql.read:users"}, ["churn"]),
        ({"predicate": "vip"}, ["churn"]),
        ({"enabled": "true"}, ["churn", "geo-tag"]),
        ({"enabled": "false"}, []),
        ({"state": "stopped"}, ["churn"]),
    ],
)
async def test_the_list_shows_those_that_fit(client, query, found):
    answer = await client.get("/installations", params=query)
    assert answer.status_code == 200, answer.text
    assert names(answer) == found


@pytest.mark.parametrize(
    ("query", "code", "sentence"),
    [
        ({"version": "1.2"}, "selector_invalid", "the query.version: '1.2' is no version specifier"),
        ({"capability": "sql"}, "selector_invalid", "the query.capability"),
        ({"predicate": "odd"}, "predicate_unknown", "no predicate 'odd'; it has: vip"),
    ],
)
async def test_a_query_that_selects_nothing_sensible_is_refused(client, query, code, sentence):
    answer = await client.get("/installations", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert sentence in answer.json()["detail"]


async def test_a_dry_run_names_them_and_runs_nothing(client, host):
    answer = await client.post("/executions", json={"select": {"tags": ["reporting"]}, "dry_run": True})
    assert answer.status_code == 200
    assert answer.json()["selector"] == "installations that are tagged reporting"
    assert (answer.json()["selected"], answer.json()["installed"]) == (["churn"], 2)
    assert host.runs == {}


async def test_what_is_run_on_all_and_what_could_not_be(client, host):
    answer = await client.post("/executions", json={"select": {}, "input": 7, "wait": True})
    body = answer.json()
    assert answer.status_code == 200
    assert body["selected"] == ["churn", "geo-tag"]
    assert [(each["installation"], each["result"]) for each in body["executions"]] == [
        ("churn", {"users": 3, "got": 7}),
    ]
    assert [(each["installation"], each["code"]) for each in body["failures"]] == [("geo-tag", "not_granted")]


async def test_without_waiting_it_is_accepted(client):
    answer = await client.post("/executions", json={"select": {"name": "churn"}, "task": "wait"})
    assert answer.status_code == 202
    assert answer.json()["executions"][0]["finished"] is False


async def test_a_selector_that_is_wrong_is_named(client):
    answer = await client.post("/executions", json={"select": {"any": [{"version": "x"}]}})
    assert answer.status_code == 422
    assert "select.any[0].version: 'x' is no version specifier" in answer.json()["detail"]
