"""Triggers and policies in the API."""

from __future__ import annotations

import pytest


async def test_triggers_are_listed_and_shown(client):
    items = (await client.get("/triggers")).json()["items"]
    assert [each["id"] for each in items] == ["all", "churn/nightly", "churn/orders"]
    assert [each["id"] for each in (await client.get("/triggers?installation=churn")).json()["items"]] == [
        "churn/nightly",
        "churn/orders",
    ]
    assert (await client.get("/triggers/churn/nightly")).json() == {
        "id": "churn/nightly",
        "installation": "churn",
        "name": "nightly",
        "kind": "cron",
        "source": "0 6 * * *",
        "task": "execute",
        "input": None,
        "options": {"timezone": "Europe/Berlin"},
        "select": None,
        "selected": [],
        "condition": "active",
        "reason": "",
        "origin": "manifest",
        "origins": {"source": "manifest", "task": "manifest", "timezone": "manifest"},
        "next_runs": ["2026-11-20T12:00:00Z"],
        "last_at": "2026-11-20T12:00:00Z",
        "last_execution": "",
        "fired": 12,
        "skipped": 0,
        "paused": False,
        "paused_reason": "",
        "paused_by": "",
        "removed": False,
        "set_by": "",
        "set_at": None,
        "host": "",
    }
    assert (await client.get("/triggers/all")).json()["select"] == {"tags": ["etl"]}


async def test_a_trigger_is_added_changed_fired_and_removed(client, host):
    order = {"installation": "churn", "trigger": {"interval": "90 s", "name": "often", "input": {"a": 1}}}
    added = await client.post("/triggers", json=order)
    assert added.status_code == 201
    assert (added.json()["id"], added.json()["source"], added.json()["input"]) == (
        "churn/often",
        "1 min 30 s",
        {"a": 1},
    )
    assert (await client.post("/triggers", json=order)).status_code == 409
    changed = await client.patch("/triggers/churn/often", json={"set": {"interval": "5 s", "attempts": 2}})
    assert changed.json()["origins"]["attempts"] == "person"
    assert (await client.patch("/triggers/churn/often", json={"unset": ["attempts"]})).json()["options"] == {}
    fired = await client.post("/triggers/churn/often/fire")
    assert fired.status_code == 202
    assert fired.json()["items"][0]["installation"] == "churn"
    assert (await client.post("/triggers/churn/often/pause", json={"reason": "x"})).json()["paused_reason"] == "x"
    assert (await client.post("/triggers/churn/often/pause")).json()["paused"] is True
    assert (await client.post("/triggers/churn/often/resume")).json()["paused"] is False
    assert (await client.post("/triggers/churn/often/reset")).json()["source"] == "1 min 30 s"
    assert (await client.delete("/triggers/churn/often")).status_code == 204
    assert "churn/often" not in host.triggers.views


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/triggers/churn/none", None, 404),
        ("GET", "/triggers?installation=nobody", None, 404),
        ("POST", "/triggers/churn/none/pause", None, 404),
        ("POST", "/triggers/churn/none/fire", None, 404),
        ("PATCH", "/triggers/churn/none", {"set": {"task": "x"}}, 404),
        ("DELETE", "/triggers/churn/none", None, 404),
        ("POST", "/triggers", {"installation": "nobody", "trigger": {"interval": 5}}, 404),
        ("POST", "/triggers", {"installation": "churn", "trigger": {"corn": "x"}}, 422),
        ("POST", "/triggers", {"installation": "churn", "trigger": {}, "more": 1}, 422),
        ("GET", "/installations/nobody/policy", None, 404),
        ("PATCH", "/installations/churn/policy", {"set": {"retries": -1}}, 422),
        ("PATCH", "/installations/churn/policy", {"retries": 1}, 422),
    ],
)
async def test_what_cannot_be_done_is_a_problem_with_a_sentence(client, method, path, body, status):
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.json()["detail"]


async def test_a_policy_is_shown_and_changed(client):
    values = {each["key"]: each for each in (await client.get("/installations/churn/policy")).json()["items"]}
    assert (values["timeout"]["value"], values["timeout"]["origin"]) == ("5 min", "manifest")
    assert (values["retries"]["value"], values["retries"]["origin"]) == (2, "settings")
    assert (values["rate"]["value"], values["rate"]["origin"]) == (None, "default")
    changed = await client.patch("/installations/churn/policy", json={"set": {"rate": "10/min", "overlap": "skip"}})
    values = {each["key"]: each for each in changed.json()["items"]}
    assert (values["rate"]["value"], values["rate"]["origin"], values["rate"]["set_by"]) == (
        "10/1 min",
        "person",
        "api",
    )
    assert values["overlap"]["value"] == "skip"
    changed = await client.patch("/installations/churn/policy", json={"reset": ["rate"]})
    assert {each["key"]: each["origin"] for each in changed.json()["items"]}["rate"] == "default"
