"""``moorage triggers``, ``moorage trigger`` and ``moorage policy``."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from moorage.cli.triggers_page import next_run
from moorage.web.schemas.triggers import Trigger


def test_the_list_says_what_is_when_and_whose_word_it_is(moorage):
    shown = moorage("triggers").stdout
    lines = shown.splitlines()
    assert lines[0].split() == ["TRIGGER", "WHAT", "CONDITION", "NEXT", "LAST", "FIRED", "SKIPPED", "FROM"]
    assert lines[1].startswith("all            interval 5 min")
    assert lines[1].endswith("person")
    assert "churn/nightly" in lines[2]
    assert "2026-11-20 13:00 Europe/Berlin, " in lines[2]
    assert lines[2].endswith("12        0  manifest")
    assert "churn/orders is not granted: It needs kafka.consume:orders. moorage grant churn" in shown
    assert "all" not in [line.split()[0] for line in moorage("triggers", "churn").stdout.splitlines() if line]


def test_a_narrow_list_leaves_out_what_the_page_of_one_has(moorage, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = moorage("triggers").stdout.splitlines()
    assert shown[0].split()[:6] == ["TRIGGER", "WHAT", "CONDITION", "NEXT", "LAST", "FIRED"]
    assert all(len(line) <= 80 for line in shown)
    assert "Europe/Berlin" not in shown[2]
    assert "FROM" not in shown[0]


def test_a_long_name_folds_before_what_is_known_of_it_is_cut(moorage, host, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    views = host.triggers.views
    known, name = views["churn/nightly"], f"churn/{'n' * 64}"
    views[name] = replace(known, state=replace(known.state, id=name))
    shown = moorage("triggers").stdout
    assert "not granted" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_one_reason_for_several_is_said_once(moorage, host):
    views = host.triggers.views
    for name in ("churn/nightly", "all"):
        views[name] = replace(views[name], condition="idle", reason="Everything is switched off.")
    shown = moorage("triggers").stdout
    assert "all and churn/nightly are idle: Everything is switched off." in shown
    assert "2026-11-20 13:00" not in shown
    for name in ("a", "b"):
        views[f"churn/{name}"] = replace(views["churn/nightly"], state=replace(views["all"].state, id=f"churn/{name}"))
    assert "4 triggers are idle: Everything is switched off." in moorage("triggers").stdout


def test_a_wrong_name_gets_the_nearest(moorage):
    refused = moorage("triggers", "chrun")
    assert refused.exit_code == 66
    assert "Did you mean churn?" in refused.stderr
    for action in ("show", "pause", "fire", "remove"):
        refused = moorage("trigger", action, "churn/nightli")
        assert refused.exit_code == 66
        assert "There is no trigger 'churn/nightli'" in refused.stderr
        assert "Did you mean churn/nightly?" in refused.stderr
    assert "Did you mean" not in moorage("trigger", "show", "elsewhere/x").stderr


def test_the_page_of_one(moorage):
    shown = moorage("trigger", "show", "churn/nightly").stdout
    assert "churn/nightly  active" in shown
    assert "execute of churn" in shown
    assert "timezone  Europe/Berlin  manifest" in shown
    assert "execute of installations that are tagged etl" in moorage("trigger", "show", "all").stdout


def test_it_is_paused_resumed_changed_and_reset(moorage, host):
    assert "paused" in moorage("trigger", "pause", "churn/nightly", "--reason", "too many mails").stdout
    assert host.triggers.views["churn/nightly"].state.paused_reason == "too many mails"
    moorage("trigger", "resume", "churn/nightly")
    assert not host.triggers.views["churn/nightly"].state.paused
    changed = moorage("trigger", "change", "churn/nightly", "cron=0 7 * * *", "attempts=3").stdout
    assert "0 7 * * *      person" in changed
    assert host.triggers.views["churn/nightly"].state.trigger.options["attempts"] == 3
    moorage("trigger", "change", "churn/nightly", "--unset", "attempts")
    assert "attempts" not in host.triggers.views["churn/nightly"].state.trigger.options
    moorage("trigger", "reset", "churn/nightly")
    assert host.triggers.views["churn/nightly"].state.trigger.source == "0 6 * * *"


def test_one_is_added_and_removed(moorage, host):
    assert moorage("trigger", "add", "churn", "interval=5 min").exit_code == 0
    moorage("trigger", "add", "churn/often", "interval=30", 'input={"full": true}')
    moorage("trigger", "add", "everywhere", "cron=0 6 * * *", 'select={"tags": ["etl"]}')
    assert {"churn/interval", "churn/often", "everywhere"} <= set(host.triggers.views)
    assert host.triggers.views["churn/often"].state.trigger.input == {"full": True}
    assert host.triggers.views["everywhere"].state.installation == ""
    assert "There is a trigger 'churn/often' already" in moorage("trigger", "add", "churn/often", "interval=5").stderr
    assert moorage("trigger", "remove", "churn/often").stdout == "churn/often is gone.\n"
    assert "churn/often" not in host.triggers.views
    assert "moorage trigger reset churn/nightly" in moorage("trigger", "remove", "churn/nightly").stdout


def test_it_is_fired_now(moorage):
    assert "e-1 of churn is queued. moorage execution e-1" in moorage("trigger", "fire", "churn/nightly").stdout
    assert json.loads(moorage("trigger", "fire", "churn/nightly", "--json").stdout)["items"][0]["trigger"] == "manual"


@pytest.mark.parametrize(
    "words",
    [
        ("show", "churn/nightly", "cron=x"),
        ("add", "churn"),
        ("change", "churn/nightly"),
        ("resume", "churn/nightly", "--unset", "cron"),
        ("resume", "churn/nightly", "--reason", "x"),
        ("add", "churn", "cron"),
        ("explode", "churn/nightly"),
    ],
)
def test_a_wrong_command_line_changes_nothing(moorage, host, words):
    before = dict(host.triggers.views)
    assert moorage("trigger", *words).exit_code == 2
    assert host.triggers.views == before


def test_what_is_wrong_with_a_trigger_is_a_sentence(moorage):
    refused = moorage("trigger", "add", "churn", "corn=0 6 * * *")
    assert refused.exit_code == 65
    assert "unknown key; did you mean 'cron'?" in refused.stderr


def test_a_policy_is_shown_changed_and_reset(moorage, host):
    shown = moorage("policy", "churn").stdout
    assert "timeout        5 min  manifest" in shown
    assert "retries        2      settings" in shown
    changed = moorage("policy", "churn", "retries=3", "timeout=2 min", "rate=10/1 min").stdout
    assert "person: " in changed
    assert "10/1 min" in changed
    assert {key: value.value for key, value in host.policies.people.items()}["retries"] == 3
    moorage("policy", "churn", "--reset", "retries", "--reset", "rate")
    assert set(host.policies.people) == {"timeout"}
    refused = moorage("policy", "churn", "retries=many")
    assert refused.exit_code == 65
    assert "policy of churn: retries: 'many' is out of bounds; write a whole number from 0 to 1000." in refused.stderr


def test_show_tells_of_them_in_short(moorage):
    shown = moorage("show", "churn").stdout
    assert "nightly (cron 0 6 * * *, active), orders (kafka orders, not granted)" in shown
    assert "retries 2" in shown


def test_a_zone_that_is_not_known_here_is_named(host):
    view = Trigger.of(host.triggers.views["churn/nightly"])
    elsewhere = view.model_copy(update={"options": {"timezone": "Mars/Olympus"}})
    assert "(Mars/Olympus)" in next_run(elsewhere, datetime(2026, 11, 20, 12, tzinfo=UTC), far=False)
