"""What manifests, settings and people say of triggers and policies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.manifest import Trigger
from moorage.models.policy import POLICY_KEYS, Overlap, Rate
from moorage.packages.document import ManifestInvalid
from moorage.packages.manifest import read_manifest
from moorage.packages.policies import PARSERS, PolicyInvalid, parse_policy, stored
from moorage.packages.triggers import TriggerInvalid, merged, named, parse_parts, parts_of, whole

HEAD = '[project]\nname = "churn"\nversion = "1.0"\n\n[tool.moorage]\nplugin = "churn.plugin:plugin"\n'

OPTIONS: dict[str, dict[str, Any]] = {
    "interval": {"interval": "90 s", "jitter": "5 s", "misfire": "once", "misfire_after": "1 min"},
    "cron": {"cron": "0 6 * * *", "timezone": "Europe/Berlin", "misfire": "all"},
    "kafka": {"kafka": "orders", "backend": "b", "group": "g", "from": "earliest", "dead_letter": "orders.dead"},
    "redis": {"redis": "orders", "backend": "b", "mode": "stream", "group": "g", "claim_after": "5 min"},
    "servicebus": {"servicebus": "orders", "subscription": "billing"},
    "event": {"event": "track.*"},
    "webhook": {"webhook": "github", "secret": "HOOK_KEY", "signature": "github"},
    "startup": {"startup": True},
    "outcome": {"outcome": "geo-*/load", "on": ["failed", "timed_out"]},
    "source": {"source": "mailbox", "options": {"folder": "in", "every": 5}},
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_each_kind_takes_its_options_and_the_common_ones(kind: str) -> None:
    common = {"attempts": 3, "paused": True, "overlap": "skip", "task": "load", "input": {"a": [1]}}
    made = whole(parse_parts(OPTIONS[kind] | common, "trigger x"), "x", "trigger x")
    assert (made.kind, made.task, made.input, made.name) == (kind, "load", {"a": [1]}, "x")
    assert made.options["attempts"] == 3
    assert made.options["overlap"] == "skip"
    own = OPTIONS[kind].get("options", {key: value for key, value in OPTIONS[kind].items() if key != kind})
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in made.options.items()} == {
        key: {"90 s": "1 min 30 s"}.get(value, value) if isinstance(value, str) else value for key, value in own.items()
    } | {"attempts": 3, "paused": True, "overlap": "skip"}
    assert whole(parts_of(made), "x", "trigger x") == made


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "it says of no kind what it is; write one of interval, cron"),
        ({"cron": "0 6 * * *", "interval": "5 s"}, "it names interval and cron"),
        ({"cron": "* *"}, "cron: '* *' is not a cron expression"),
        ({"corn": "0 6 * * *"}, "corn: unknown key; did you mean 'cron'?"),
        ({"cron": "0 6 * * *", "group": "g"}, "group: unknown key"),
        ({"interval": "1 h", "timezone": "UTC"}, "timezone: unknown key"),
        ({"interval": "1 h", "attempts": 0}, "attempts: 0 is no number of attempts; write 1 to"),
        ({"interval": "1 h", "misfire": "later"}, "misfire: 'later' is not allowed; write 'skip', 'once' or 'all'"),
        ({"interval": "1 h", "paused": 1}, "paused: 1 has to be true or false"),
        ({"interval": "9999 d"}, "interval: '9999 d' is too long"),
        ({"redis": "orders", "group": "g"}, "group: a channel keeps nothing, so this goes with a stream alone"),
        ({"outcome": "a", "on": ["gone"]}, "on: ['gone'] is no list of outcomes; write some of succeeded"),
        ({"outcome": "a/b/c"}, "outcome: 'a/b/c' is not allowed"),
        ({"source": "mail", "options": {"paused": True}}, "options: 'paused' belongs beside 'options'"),
        ({"startup": False}, "startup: startup is either true or left out"),
        ({"interval": "1 h", "input": "x" * 70_000}, "input: an input has at most 65536 characters"),
        ({"interval": "1 h", "name": "No Name"}, "name: 'No Name' is not allowed; a trigger is named"),
    ],
)
def test_what_is_wrong_is_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TriggerInvalid) as refused:
        whole(parse_parts(given, "trigger x"), "x", "trigger x")
    assert str(refused.value).startswith("trigger x: ")
    assert sentence in str(refused.value)


def test_names_are_given_by_kind() -> None:
    kinds = [("cron", ""), ("cron", "cron-2"), ("cron", ""), ("kafka", ""), ("interval", "cron-4")]
    found = named(Trigger(kind, "x", name=name) for kind, name in kinds)
    assert [each.name for each in found] == ["cron", "cron-2", "cron-3", "kafka", "cron-4"]


@given(st.lists(st.tuples(st.sampled_from(["cron", "kafka"]), st.sampled_from(["", "a", "cron-2", "cron"]))))
def test_names_are_unique_where_those_given_are(kinds: list[tuple[str, str]]) -> None:
    own = [name for _, name in kinds if name]
    found = [each.name for each in named(Trigger(kind, "x", name=name) for kind, name in kinds)]
    assert all(found)
    assert len(set(found)) == len(found) - (len(own) - len(set(own)))


def test_a_layer_says_parts_alone_and_another_kind_drops_the_options_of_the_first() -> None:
    base = parse_parts({"cron": "0 6 * * *", "timezone": "UTC", "task": "daily", "attempts": 3}, "x")
    assert merged(base, parse_parts({"timezone": "Europe/Berlin"}, "x")) == base | {"timezone": "Europe/Berlin"}
    over = merged(base, parse_parts({"interval": "5 s"}, "x"))
    assert over == {"kind": "interval", "source": "5 s", "task": "daily", "attempts": 3}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('tags = ["AutoRun"]', [("startup", "autorun")]),
        ('tags = ["AutoRun"]\ntriggers = [{ startup = true, task = "warm" }]', ["startup", "autorun"]),
        ('tags = ["AutoRun"]\ntriggers = [{ startup = true }]', ["startup"]),
        ('tags = ["other"]', []),
    ],
)
def test_the_tag_autorun_is_a_start_up_trigger(make_project: Any, text: str, names: list[Any]) -> None:
    triggers = read_manifest(make_project(HEAD + text)).triggers
    assert [each.name for each in triggers] == [name[1] if isinstance(name, tuple) else name for name in names]
    assert all(each.kind == "startup" for each in triggers)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("triggers = [{ startup = true, name = 'a' }, { interval = 5, name = 'a' }]", "triggers[1].name", "'a' names"),
        ("tags = ['AutoRun']\ntriggers = [{ interval = 5, name = 'autorun' }]", "", "the tag AutoRun declares"),
        ("[tool.moorage.policy]\nretrys = 2", "policy.retrys", "did you mean 'retries'?"),
        ("[tool.moorage.policy]\ntimeout = '5 s'", "policy.timeout", "belongs into [tool.moorage.limits]"),
        ("[tool.moorage.policy]\nrate = 'fast'", "policy.rate", "'fast' is no rate; write beginnings and a time"),
        ("[tool.moorage.policy]\nqueue = -1", "policy.queue", "-1 is out of bounds; write a whole number from 0"),
    ],
)
def test_problems_of_a_manifest(make_project: Any, text: str, key: str, words: str) -> None:
    with pytest.raises(ManifestInvalid) as refused:
        read_manifest(make_project(HEAD + text))
    (problem,) = refused.value.problems
    assert problem.key == ".".join(["tool.moorage", *([key] if key else [])])
    assert words in problem.sentence


def test_values_of_policies() -> None:
    assert set(PARSERS) == set(POLICY_KEYS)
    given = {
        "concurrency": "4",
        "queue": 10,
        "overlap": "replace",
        "timeout": "2 min",
        "retries": 3,
        "backoff_first": 0.5,
        "backoff_most": timedelta(minutes=1),
        "rate": "10/min",
        "idempotent": "true",
    }
    assert parse_policy(given, "policy") == {
        "concurrency": 4,
        "queue": 10,
        "overlap": Overlap.REPLACE,
        "timeout": timedelta(minutes=2),
        "retries": 3,
        "backoff_first": timedelta(seconds=0.5),
        "backoff_most": timedelta(minutes=1),
        "rate": Rate(10, timedelta(minutes=1)),
        "idempotent": True,
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"concurrency": 0}, "policy of churn: concurrency: 0 is out of bounds; write a whole number from 1 to 1024."),
        ({"retries": True}, "policy of churn: retries: True is out of bounds"),
        ({"overlap": "wait"}, "policy of churn: overlap: 'wait' is no way to overlap; write 'queue', 'skip'"),
        ({"timeout": "0 s"}, "policy of churn: timeout: '0 s' is out of bounds; write 1 s to 30 d."),
        ({"rate": "10/1 fortnight"}, "policy of churn: rate: '1 fortnight' is not a duration"),
        ({"rate": "0/1 s"}, "policy of churn: rate: '0/1 s' is out of bounds"),
        ({"idempotent": "perhaps"}, "policy of churn: idempotent: 'perhaps' has to be true or false."),
        ({"retrys": 1}, "policy of churn: retrys: unknown key; did you mean 'retries'?"),
    ],
)
def test_a_value_out_of_bounds_is_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        parse_policy(given, "policy of churn")
    assert str(refused.value).startswith(sentence)


@given(st.integers(1, 1000), st.integers(1, 86_400))
def test_a_rate_is_read_as_it_was_stored(count: int, seconds: int) -> None:
    rate = Rate(count, timedelta(seconds=seconds))
    assert parse_policy({"rate": stored(rate)}, "") == {"rate": rate}
    assert parse_policy({"rate": "none"}, "") == {"rate": None}
