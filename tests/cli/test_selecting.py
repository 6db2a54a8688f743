"""Commands that select installations by what they are, and the switch for all of them."""

from __future__ import annotations

import json

import pytest

from moorage.cli import selecting
from moorage.models.event import HandlerView


def test_what_is_selected_is_run_and_told(moorage, host):
    done = moorage("run", "--tag", "reporting", "--version", ">=1", "--input", "7")
    assert done.exit_code == 0, done.output
    assert "1 installation: churn" in done.stderr
    assert done.stdout.splitlines()[0].split() == ["INSTALLATION", "EXECUTION", "STATE", "TOOK", "WHAT"]
    assert done.stdout.splitlines()[1].split()[:3] == ["churn", "e-1", "succeeded"]
    assert '{"users": 3, "got": 7}' in done.stdout
    assert host.runs["e-1"].trigger == "manual"


def test_a_dry_run_runs_nothing(moorage, host):
    dry = moorage("run", "--name", "*", "--not-tag", "reporting", "--dry-run")
    assert (dry.exit_code, dry.stdout.split()) == (0, ["INSTALLATION", "geo-tag"])
    assert "1 installation of 2: installations whose name fits *" in dry.stderr
    assert json.loads(moorage("run", "--all", "--dry-run", "--json").stdout)["selected"] == ["churn", "geo-tag"]
    assert host.runs == {}


def test_one_that_fails_is_told_and_the_others_are_run(moorage, host):
    done = moorage("run", "--all")
    assert done.exit_code == 1
    assert "succeeded" in done.stdout
    assert "geo-tag" in done.stderr
    failed = moorage("run", "--capability", "sql.read:users", "--task", "fail")
    assert failed.exit_code == 1
    assert "no such user" in failed.stdout


@pytest.mark.parametrize(("answer", "ran"), [("n\n", False), ("y\n", True)])
def test_it_asks_before_it_runs_on_all(moorage, host, monkeypatch, answer, ran):
    monkeypatch.setattr(selecting, "is_asked", lambda: True)
    asked = moorage("run", "--name", "*", input=answer)
    assert "These are all that there is. Run it?" in asked.output
    assert bool(host.runs) is ran
    assert "all that there is" not in moorage("run", "--name", "*", "--yes").output
    assert "all that there is" not in moorage("run", "--predicate", "vip").output


def test_what_selects_nothing_says_so(moorage, host):
    none = moorage("run", "--tag", "no-such-tag")
    assert none.exit_code == 66
    assert "Nothing is selected by: installations that are tagged no-such-tag" in none.stderr
    assert moorage("run", "--version", "1.2").exit_code == 65
    assert host.runs == {}


@pytest.mark.parametrize(
    "words", [(), ("churn", "--tag", "x"), ("churn", "--all"), ("churn", "--dry-run"), ("churn", "--task", "fail")]
)
def test_a_name_and_what_selects_exclude_each_other(moorage, host, words):
    assert moorage("run", *words).exit_code == 2
    assert host.runs == {}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--tag", "reporting"), ["churn"]),
        (("--enabled",), ["churn", "geo-tag"]),
        (("--disabled",), []),
        (("--state", "stopped"), ["churn"]),
        (("--name", "geo-*", "--enabled"), ["geo-tag"]),
    ],
)
def test_lists_of_those_that_fit(moorage, host, words, names):
    assert [each["id"] for each in json.loads(moorage("ls", *words, "--json").stdout)["installations"]] == names
    shown = moorage("ls", *words).stdout
    assert all(name in shown for name in names)
    assert ("No installation is like that" in shown) is not bool(names)


def test_the_switch(moorage, host):
    assert "It is on: what is enabled may work." in moorage("switch").stdout
    moorage("start", "churn")
    off = moorage("switch", "off", "--reason", "maintenance")
    assert off.exit_code == 0, off.output
    assert "churn" in off.stdout
    assert "Everything is switched off by" in off.stdout
    assert "since 2026-11-20 12:00:00: maintenance. moorage switch on" in off.stdout
    assert moorage("ls").stdout.startswith("Everything is switched off by")
    assert json.loads(moorage("switch", "--json").stdout)["on"] is False
    assert "It is on since" in moorage("switch", "on").stdout
    assert "switched off" not in moorage("ls").stdout


def test_a_reason_without_a_way_changes_nothing(moorage, host):
    assert moorage("switch", "--reason", "x").exit_code == 2
    assert host.switch.now.is_on


def test_what_a_plugin_brings_is_shown(moorage, host):
    plugin = host.plugins["churn"]
    plugin.handlers = (HandlerView("track.* playing", "track.*", False), HandlerView("double", "number.double", True))
    plugin.hooks = ("on_load", "health")
    shown = moorage("show", "churn").stdout
    assert "hooks" in shown
    assert "on_load, health" in shown
    assert [line.split(maxsplit=1) for line in shown.splitlines() if line.startswith(("track.", "number."))] == [
        ["track.*", "playing"],
        ["number.double", "double, which replies"],
    ]
    found = json.loads(moorage("show", "churn", "--json").stdout)
    assert found["handlers"][1] == {"name": "double", "topic": "number.double", "replies": True}
