"""The switch for all installations, through the API."""

from __future__ import annotations


async def test_it_is_switched_off_and_on(client, host):
    assert (await client.get("/switch")).json()["on"] is True
    await client.post("/installations/churn/start")

    off = await client.put("/switch", json={"on": False, "reason": "maintenance"})
    assert off.status_code == 200
    assert (off.json()["on"], off.json()["reason"]) == (False, "maintenance")
    assert "churn" in [each["installation"] for each in off.json()["stopped"]]
    assert (await client.get("/switch")).json()["reason"] == "maintenance"

    on = await client.put("/switch", json={"on": True})
    assert (on.json()["on"], on.json()["stopped"]) == (True, [])
    assert [entry.action for entry in host.entries if entry.action.startswith("switch")] == ["switch off", "switch on"]


async def test_whoever_sets_it_says_which_way(client):
    assert (await client.put("/switch", json={"reason": "?"})).status_code == 422
