"""Every route, over ASGI: what it answers, and what it answers when it cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from moorage.errors import ExitCode
from moorage.models.execution import Attempt, ExecutionState, ResourceUse

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def test_lists_installations(client):
    answer = await client.get("/installations")

    assert answer.status_code == 200
    churn, geo = answer.json()["items"]
    assert churn["id"] == "churn"
    assert churn["plugin"]["tags"] == ["AutoRun", "reporting"]
    assert churn["plugin"]["limits"]["timeout_seconds"] == 300
    assert geo["state"] == "not granted"
    assert "sql.read:places" in geo["reason"]


async def test_lists_broken_plugins(client):
    (broken,) = (await client.get("/broken-plugins")).json()["items"]
    assert broken == {"path": "/plugins/odd", "problem": "pyproject.toml line 3: unknown key `requird`."}


async def test_shows_one_installation(client):
    churn = (await client.get("/installations/churn")).json()
    assert churn["grants"][0] == {
        "capability": "sql.read:users",
        "because": "needs sql.read:users",
        "required": True,
        "granted": True,
        "granted_by": "ada",
        "granted_at": "2026-11-20T12:00:00Z",
        "meaning": "It means sql.read:users.",
        "widens_sandbox": False,
        "denied_by": "",
        "requested": True,
        "fail_closed": False,
        "uses": 0,
        "used_at": None,
    }
    assert [task["name"] for task in churn["tasks"]] == ["execute", "fail", "wait"]
    assert churn["source_path"] == "/plugins/churn"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/installations/nobody", None),
        ("POST", "/installations/nobody/start", None),
        ("POST", "/installations/nobody/stop", {}),
        ("POST", "/installations/nobody/release", None),
        ("POST", "/installations/nobody/kill", None),
        ("POST", "/installations/nobody/enable", None),
        ("POST", "/installations/nobody/disable", None),
        ("POST", "/installations/nobody/scale", {"replicas": 2}),
        ("POST", "/installations/nobody/reload", None),
        ("POST", "/installations/nobody/restart", None),
        ("POST", "/installations/nobody/executions", {}),
        ("GET", "/installations/nobody/grants", None),
        ("POST", "/installations/nobody/grants", {"required": True}),
        ("DELETE", "/installations/nobody/grants?capability=sql.read:users", None),
        ("GET", "/executions?installation=nobody", None),
        ("GET", "/executions/e-none", None),
        ("POST", "/executions/e-none/cancel", None),
        ("GET", "/logs?installation=nobody", None),
        ("GET", "/logs/stream?installation=nobody", None),
    ],
)
async def test_what_is_not_there_is_a_problem_with_a_sentence(client, method, path, body):
    answer = await client.request(method, path, json=body)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["title"] == "Not Found"
    assert problem["code"] in ("installation_not_found", "not_found")
    assert problem["exit_code"] == ExitCode.NOT_FOUND
    assert problem["detail"].startswith("There is no ")


async def test_start_stop_hold_and_release(client):
    started = (await client.post("/installations/churn/start")).json()
    assert started["state"] == "ready"
    assert started["incarnations"][0]["pid"] == 4242

    report = (await client.post("/installations/churn/stop", json={"hold": "INC-4711"})).json()
    assert report == {"installation": "churn", "executions": [], "processes": 1, "sentence": "churn: 1 processes gone."}
    held = (await client.get("/installations/churn")).json()
    assert (held["state"], held["desired"]["held_reason"], held["desired"]["held_by"]) == ("held", "INC-4711", "api")
    assert held["incarnations"][0]["verdict"]["planned"] is True
    assert (await client.post("/installations/churn/start")).status_code == 409

    assert (await client.post("/installations/churn/release")).status_code == 200
    assert (await client.post("/installations/churn/release")).status_code == 409
    assert (await client.post("/installations/churn/start")).json()["state"] == "ready"


async def test_enable_disable_and_scale(client):
    disabled = await client.post("/installations/churn/disable", json={"reason": "it is noisy"})
    assert disabled.json()["installation"] == "churn"
    assert (await client.get("/installations/churn")).json()["desired"]["enabled"] is False
    assert (await client.post("/installations/churn/enable")).json()["desired"]["enabled"] is True
    assert (await client.post("/installations/churn/scale", json={"replicas": 3})).json()["desired"]["replicas"] == 3
    assert (await client.post("/installations/churn/scale", json={"replicas": 0})).status_code == 422
    assert (await client.post("/installations/churn/scale", json={})).status_code == 422


async def test_stop_needs_no_body(client):
    assert (await client.post("/installations/churn/stop")).status_code == 200


async def test_kill_reload_and_unload_all(client):
    await client.post("/installations/churn/start")
    assert (await client.post("/installations/churn/kill")).json()["processes"] == 1
    assert (await client.post("/installations/churn/reload")).json()["new"] == []
    started = (await client.post("/installations/churn/reload", json={"start": True, "mode": "in_turn"})).json()
    assert (started["mode"], started["old"], started["new"], started["gap_ms"]) == ("in_turn", [], [2], 0.0)
    restarted = (await client.post("/installations/churn/restart")).json()
    assert (restarted["old"], restarted["new"]) == ([2], [3])
    reports = (await client.post("/unload-all")).json()["items"]
    assert [(report["installation"], report["processes"]) for report in reports] == [("churn", 1), ("geo-tag", 0)]


async def test_grants_and_revokes(client):
    assert (await client.post("/installations/geo-tag/start")).status_code == 409

    granted = await client.post("/installations/geo-tag/grants", json={"capabilities": ["sql.read:places"]})
    assert granted.json()["grants"][0]["granted"] is True
    assert (await client.post("/installations/geo-tag/start")).status_code == 200

    revoked = await client.delete("/installations/geo-tag/grants", params={"capability": ["sql.read:places"]})
    assert revoked.json()["grants"][0]["granted"] is False
    assert (await client.get("/installations/geo-tag/grants")).json()["items"][0]["granted"] is False


async def test_grants_all_that_is_required_only_when_told_so(client):
    for unclear in ({}, {"capabilities": []}, {"capabilities": ["sql.read:places"], "required": True}):
        refused = await client.post("/installations/geo-tag/grants", json=unclear)
        assert refused.status_code == 422
        assert 'give either "capabilities", or "required": true' in refused.json()["detail"]
    assert (await client.post("/installations/geo-tag/grants", json={"required": True})).status_code == 200


async def test_a_preview_names_what_is_dangerous_and_changes_nothing(client, host):
    host.add("mail", tasks={}, optional=["sql.read:**", "config.read:from"])

    preview = (await client.post("/installations/mail/grants/preview", json={"optional": True})).json()

    assert preview["capabilities"][0] == {"capability": "config.read:from", "meaning": "It means config.read:from."}
    assert preview["dangers"] == ["sql.read:**: It is everything."]
    assert not any(grant["granted"] for grant in (await client.get("/installations/mail/grants")).json()["items"])
    granted = await client.post("/installations/mail/grants", json={"optional": True, "because": "ticket 7"})
    assert granted.json()["dangers"] == ["sql.read:**: It is everything."]


async def test_what_is_made_of_grants(client, host):
    host.plugins["churn"].uses["sql.read:users"] = 4200

    use = (await client.get("/installations/churn/use")).json()

    assert [(each["capability"], each["uses"], bool(each["used_at"])) for each in use["grants"]] == [
        ("sql.read:users", 4200, True),
        ("kafka.produce:plugin-topic", 0, False),
    ]
    assert use["methods"][0] == {
        "method": "KafkaService.Produce",
        "calls": 12,
        "denied": 1,
        "bytes_in": 3400,
        "bytes_out": 56,
    }
    assert (await client.get("/installations/nobody/use")).status_code == 404


async def test_the_audit_s_chain_and_sinks(client, host):
    assert (await client.get("/audit/verify")).json()["whole"] is True
    host.tampered = 7
    report = (await client.get("/audit/verify")).json()
    assert (report["whole"], report["broken_at"]) == (False, 7)
    assert report["sentence"].startswith("The audit was changed: entry 7 is not what was written")
    _, file = (await client.get("/audit/sinks")).json()["items"]
    assert (file["name"], file["waiting"], file["counted"]) == ("file", 7, 12)


async def test_the_audit_can_be_searched(client):
    await client.post("/installations/churn/stop")
    for wanted, count in (
        ("actor=api", 1),
        ("actor=dana", 0),
        ("kind=action", 1),
        ("kind=denied", 0),
        ("kind=x", None),
    ):
        answer = await client.get(f"/audit?{wanted}")
        assert answer.status_code == (422 if count is None else 200)
        assert count is None or len(answer.json()["items"]) == count, wanted
    assert (await client.get("/audit", params={"since": "2026-11-20T12:00:00"})).status_code == 422
    assert (await client.get("/audit", params={"since": "2026-11-20T12:00:01+00:00"})).json()["items"] == []


async def test_denies_and_takes_it_back(client):
    order = {"capabilities": ["sql.read:users"], "because": "INC-7"}
    denied = (await client.post("/installations/churn/denials", json=order)).json()
    assert [(each["capability"], each["because"]) for each in denied["denials"]] == [("sql.read:users", "INC-7")]
    assert (await client.get("/installations/churn/denials")).json()["items"] == denied["denials"]
    assert (await client.post("/installations/churn/denials", json={"capabilities": []})).status_code == 422

    freed = await client.delete("/installations/churn/denials", params={"capability": ["sql.read:users"]})
    assert freed.json()["denials"] == []
    again = await client.delete("/installations/churn/denials", params={"capability": ["sql.read:users"]})
    assert again.status_code == 404


async def test_runs_and_waits_for_the_outcome(client):
    answer = await client.post("/installations/churn/executions", json={"input": {"day": 1}, "wait": True})

    assert answer.status_code == 200
    execution = answer.json()
    assert execution["state"] == "succeeded"
    assert execution["finished"] is True
    assert execution["result"] == {"users": 3, "got": {"day": 1}}
    assert execution["duration_seconds"] == pytest.approx(0.31)
    assert execution["worker"]["sandbox_level"] == "full"
    assert answer.headers["location"] == f"http://host/api/v1/executions/{execution['id']}"
    whole = (await client.get(answer.headers["location"])).json()
    assert whole == {**execution, "attempts": [], "logs": {"first": 1, "last": 1, "count": 1}}


async def test_accepts_a_run_and_answers_at_once(client):
    answer = await client.post("/installations/churn/executions", json={"task": "wait"})
    assert answer.status_code == 202
    identity = answer.json()["id"]
    assert answer.json()["state"] == "queued"

    cancelled = await client.post(f"/executions/{identity}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    (listed,) = (await client.get("/executions", params={"installation": "churn"})).json()["items"]
    assert listed["id"] == identity


async def test_a_run_that_takes_too_long_is_timed_out(client):
    answer = await client.post(
        "/installations/churn/executions", json={"task": "wait", "wait": True, "timeout_seconds": 0.01}
    )
    assert answer.json()["state"] == "timed_out"


async def test_a_failed_run_is_an_answer_not_a_problem(client):
    answer = await client.post("/installations/churn/executions", json={"task": "fail", "input": 7, "wait": True})
    assert answer.status_code == 200
    error = answer.json()["error"]
    assert error["type"] == "LookupError"
    assert error["message"] == "no such user: 7"
    assert "raise LookupError" in error["traceback"]


async def test_every_kind_of_value_has_a_json_form(client, host):
    host.plugins["churn"].tasks["values"] = lambda _value: {
        "instant": datetime(2026, 11, 20, 6, tzinfo=UTC),
        "day": date(2026, 11, 20),
        "span": timedelta(hours=1, microseconds=5),
        "back": timedelta(seconds=-1.5),
        "money": Decimal("1.50"),
        "raw": b"\x00\xff",
        "key": UUID(int=1),
        "big": 2**80,
        "nothing": None,
        "numbers": [1.5, float("nan"), float("inf"), float("-inf")],
    }
    answer = await client.post("/installations/churn/executions", json={"task": "values", "wait": True})
    assert answer.json()["result"] == {
        "instant": "2026-11-20T06:00:00+00:00",
        "day": "2026-11-20",
        "span": "PT3600.000005S",
        "back": "-PT1.5S",
        "money": "1.50",
        "raw": "AP8=",
        "key": "00000000-0000-0000-0000-000000000001",
        "big": 2**80,
        "nothing": None,
        "numbers": [1.5, "NaN", "Infinity", "-Infinity"],
    }


async def test_logs_by_installation_execution_and_id(client, host):
    host.log("churn", "counted", fields={"users": Decimal("3")})
    host.log("churn", "sent", execution="e-1", exception="Traceback ...")
    host.log("geo-tag", "moved", level=40)

    everything = (await client.get("/logs")).json()["items"]
    assert [line["message"] for line in everything] == ["counted", "sent", "moved"]
    assert everything[0]["fields"] == {"users": "3"}
    assert [line["id"] for line in (await client.get("/logs", params={"installation": "churn"})).json()["items"]] == [
        1,
        2,
    ]
    assert [line["id"] for line in (await client.get("/logs", params={"execution": "e-1"})).json()["items"]] == [2]
    assert [line["id"] for line in (await client.get("/logs", params={"after": 2})).json()["items"]] == [3]
    assert [line["id"] for line in (await client.get("/logs", params={"limit": 1})).json()["items"]] == [3]


async def test_people_s_actions_are_in_the_audit(client):
    await client.post("/installations/churn/start")
    await client.post("/installations/geo-tag/kill")
    first, second = (await client.get("/audit")).json()["items"]
    assert (first["kind"], first["action"], first["installation"], first["actor"]) == (
        "action",
        "start",
        "churn",
        "api",
    )
    assert (await client.get("/audit", params={"installation": "geo-tag"})).json()["items"] == [second]
    assert (await client.get("/audit", params={"after": 1})).json()["items"] == [second]


async def test_system_tells_what_the_sandbox_is(client, host):
    system = (await client.get("/system")).json()
    assert system["sandbox"]["level"] == "full"
    assert system["sandbox"]["missing"][0]["remedy"] == "mount it"
    assert system["state_dir"] == str(host.settings.state_dir)


async def test_installs_and_grants(client, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "new"\nrequires = ["sql.read:users"]\n')
    answer = await client.post("/installations", json={"path": str(tmp_path), "grant_required": True})
    assert answer.status_code == 201
    assert answer.headers["location"].endswith("/api/v1/installations/new")
    assert answer.json()["grants"][0]["granted"] is True
    assert (await client.get(answer.headers["location"])).json()["id"] == "new"


async def test_an_install_that_cannot_be_says_why(client, tmp_path):
    answer = await client.post("/installations", json={"path": str(tmp_path)})
    assert answer.status_code == 422
    assert answer.json()["code"] == "manifest_invalid"
    assert str(tmp_path / "pyproject.toml") in answer.json()["detail"]


async def test_an_install_tells_its_progress_line_by_line(client, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "new"\n')
    answer = await client.post(
        "/installations", json={"path": str(tmp_path), "name": "mine"}, headers={"Accept": "application/x-ndjson"}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    events = [json.loads(line) for line in answer.text.splitlines() if line]
    assert [event.get("sentence") for event in events[:-1]] == [
        "new: resolving its dependencies",
        "new: building its environment",
    ]
    assert events[-1]["event"] == "installed"
    assert events[-1]["installation"]["id"] == "mine"


async def test_an_install_that_fails_on_the_way_ends_in_a_problem(client, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project\n")
    answer = await client.post(
        "/installations", json={"path": str(tmp_path)}, headers={"Accept": "application/x-ndjson"}
    )
    *_, last = [json.loads(line) for line in answer.text.splitlines() if line]
    assert last["event"] == "problem"
    assert last["problem"]["code"] == "manifest_invalid"
    assert "pyproject.toml" in last["problem"]["detail"]


async def test_a_reload_tells_each_step(client):
    await client.post("/installations/churn/start")
    answer = await client.post("/installations/churn/reload", headers={"Accept": "application/x-ndjson"})
    first, last = [json.loads(line) for line in answer.text.splitlines() if line]
    assert first["event"] == "progress"
    assert first["sentence"] == "churn: starting 1.0.0 beside the old one"
    assert last["event"] == "reloaded"
    assert last["report"] == {
        "installation": "churn",
        "mode": "beside",
        "from_version": "1.0.0",
        "to_version": "1.0.0",
        "old": [1],
        "new": [2],
        "drained": ["e-1"],
        "gap_ms": 0.0,
        "sentence": "churn 1.0.0: #2 serves; #1 went after 1 execution; no execution began for 0 ms.",
    }
    refused = await client.post("/installations/churn/reload", json={"mode": "sideways"})
    assert refused.status_code == 422


async def test_secrets_go_in_and_never_come_out(client, host):
    value = "hunter2 é\n"
    for path in ("/installations/churn/secrets/LASTFM_KEY", "/secrets/LASTFM_KEY"):
        answer = await client.put(path, json={"value": value})
        assert answer.status_code == 200
        assert answer.json()["name"] == "LASTFM_KEY"
        assert "hunter2" not in answer.text
    assert host.secrets.values == {("churn", "LASTFM_KEY"): value, ("", "LASTFM_KEY"): value}

    for path, owners in (("/secrets", ["", "churn"]), ("/installations/churn/secrets", ["churn"])):
        listed = await client.get(path)
        assert [item["installation"] for item in listed.json()["items"]] == owners
        assert "hunter2" not in listed.text

    for refused in (
        await client.put("/installations/churn/secrets/KEY", json={"value": ["hunter2"]}),
        await client.put("/installations/churn/secrets/KEY", json={"value": "x", "hunter2": 1}),
    ):
        assert refused.status_code == 422
        assert "hunter2" not in refused.text.replace("body.hunter2", "")
    assert (await client.post("/secrets/rotate")).json() == {"sealed": 2}
    assert (await client.delete("/installations/churn/secrets/LASTFM_KEY")).status_code == 204
    assert (await client.delete("/secrets/LASTFM_KEY")).status_code == 204
    assert (await client.delete("/secrets/LASTFM_KEY")).status_code == 404
    assert host.secrets.values == {}
    assert "hunter2" not in repr(host.entries)


async def test_settings_are_shown_and_changed(client, host):
    shown = (await client.get("/installations/churn/config")).json()
    assert [(entry["key"], entry["origin"]) for entry in shown["entries"]] == [
        ("greeting", "default"),
        ("mail.from", "settings"),
    ]
    changed = await client.patch("/installations/churn/config", json={"set": {"retries": 5}})
    assert changed.json()["changed"] == ["retries"]
    assert host.config.values["retries"] == 5
    for wrong in ({}, {"set": {"a..b": 1}}, {"unset": [""]}, {"change": {}}):
        assert (await client.patch("/installations/churn/config", json=wrong)).status_code == 422
    assert (await client.get("/installations/nobody/config")).status_code == 404


async def test_levels_of_loggers_are_set_and_taken_back(client, host):
    path = "/installations/churn/log-levels"
    answer = await client.post(path, json={"level": 10, "logger": "churn.parser", "for_seconds": 60})
    assert [(level["logger"], level["level"]) for level in answer.json()["items"]] == [("churn.parser", 10)]
    assert answer.json()["items"][0]["until"] == "2026-11-20T12:01:00Z"
    assert (await client.get(path)).json() == answer.json()
    for wrong in ({"level": 0}, {"level": "DEBUG"}, {"level": 10, "for_seconds": 0}, {}):
        assert (await client.post(path, json=wrong)).status_code == 422
    assert (await client.delete(path, params={"logger": "churn.parser"})).json() == {"items": []}


async def test_databases_and_what_they_lack(client):
    assert [each["mode"] for each in (await client.get("/sql")).json()["items"]] == ["", "provided"]
    assert "CREATE ROLE" in (await client.get("/sql/shop/plan")).json()["script"]
    assert (await client.get("/sql/main/plan")).json() == {"backend": "main", "script": ""}
    assert (await client.get("/sql/nowhere/plan")).status_code == 404


async def test_extension_points_and_who_implements_them(client):
    point, unheard = (await client.get("/extension-points")).json()["items"]
    assert (point["name"], point["version"], point["compatible"]) == ("shop.discount", 2, [1])
    assert [(each["installation"], each["standing"], each["calls"]) for each in point["implementations"]] == [
        ("churn", "current", 12),
        ("geo-tag", "old", 0),
    ]
    assert (unheard["methods"], unheard["implementations"]) == (["hear"], [])
    shown = (await client.get("/installations/churn")).json()["extensions"]
    assert shown == point["implementations"][:1]
    assert shown[0]["last_failure"] == "It has not answered within 0.2 s."


async def test_private_data_is_looked_after(client, host):
    path = "/installations/churn/storage"
    assert (await client.get(path)).json()["limit_bytes"] == 64 * 2**20
    taken = await client.post(f"{path}/snapshots")
    assert taken.status_code == 201
    assert (await client.get(f"{path}/snapshots")).json()["items"] == [taken.json()]
    assert (await client.post(f"{path}/restore")).json()["id"] == "s-1"
    assert (await client.post(f"{path}/restore", json={"snapshot": "s-9"})).status_code == 404
    exported = await client.get(f"{path}/export")
    assert (exported.content, exported.headers["content-type"]) == (b"tarball", "application/x-tar")
    assert (await client.delete(path)).status_code == 204


async def test_removal_wants_a_word_on_data(client, host):
    refused = await client.delete("/installations/churn")
    assert (refused.status_code, refused.json()["code"]) == (409, "data_undecided")
    assert (await client.delete("/installations/churn", params={"data": "burn"})).status_code == 422
    assert (await client.delete("/installations/churn", params={"data": "delete"})).json()["data"] == "delete"
    assert (await client.get("/installations/churn")).status_code == 404


async def test_one_execution_has_its_attempts_its_use_and_its_place_in_the_log(client, host):
    answer = await client.post("/installations/churn/executions", json={"task": "fail", "input": 7, "wait": True})
    identity = answer.json()["id"]
    run = host.runs[identity]
    use = ResourceUse(0.25, 1000, 12, 1, 4096)
    host.attempts[identity] = (Attempt(identity, 1, ExecutionState.CRASHED, NOON, NOON, run.error, run.worker, use),)
    host.runs[identity] = replace(run, attempt=2, use=use, trigger_id="churn/nightly", key="k")
    for message in ("one", "two"):
        host.log("churn", message, execution=identity)

    found = (await client.get(f"/executions/{identity}")).json()

    (attempt,) = found["attempts"]
    assert (attempt["number"], attempt["state"], attempt["error"]["type"]) == (1, "crashed", "LookupError")
    assert attempt["use"] == found["use"] == {
        "cpu_seconds": 0.25, "peak_memory_bytes": 1000, "calls": 12, "denied": 1, "bytes": 4096,
    }  # fmt: skip
    assert found["logs"] == {"first": 1, "last": 3, "count": 3}
    assert (found["trigger_id"], found["key"], found["attempt"]) == ("churn/nightly", "k", 2)


async def test_an_order_may_have_a_key_a_time_and_attempts(client, host):
    order = {"task": "execute", "key": "order-17", "due_at": "2026-11-20T09:30:00+01:00", "attempts": 3, "wait": True}
    answer = await client.post("/installations/churn/executions", json=order)
    run = host.runs[answer.json()["id"]]
    assert (run.key, run.attempts, run.due_at) == ("order-17", 3, datetime(2026, 11, 20, 8, 30, tzinfo=UTC))
    for wrong in ({"due_at": "2026-11-20T09:30:00"}, {"attempts": 0}, {"key": "x" * 301}):
        refused = await client.post("/installations/churn/executions", json=wrong)
        assert refused.status_code == 422


async def test_executions_are_listed_by_state_trigger_and_time_a_page_at_a_time(client, host):
    ids = [
        (await client.post("/installations/churn/executions", json={"task": task, "wait": True})).json()["id"]
        for task in ("execute", "fail", "execute")
    ]
    host.runs[ids[0]] = replace(host.runs[ids[0]], trigger_id="churn/nightly")

    async def listed(**query):
        return [each["id"] for each in (await client.get("/executions", params=query)).json()["items"]]

    assert await listed() == ids[::-1]
    assert await listed(state="failed") == [ids[1]]
    assert await listed(trigger="churn/nightly") == [ids[0]]
    assert await listed(before=ids[1]) == [ids[0]]
    assert await listed(since="2099-01-01T00:00:00Z") == []
    assert (await client.get("/executions", params={"state": "lost"})).status_code == 422


async def test_an_ended_execution_is_retried(client, host):
    answer = await client.post("/installations/churn/executions", json={"input": {"day": 1}, "wait": True})
    retried = await client.post(f"/executions/{answer.json()['id']}/retry")
    assert retried.status_code == 202
    assert retried.json()["retry_of"] == answer.json()["id"]
    assert retried.json()["input"] == {"day": 1}
    assert (await client.post("/executions/e-none/retry")).status_code == 404
