"""Policies in layers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from moorage.models.policy import POLICY_KEYS, Origin, Overlap, PolicyValue, Rate, RunPolicy
from moorage.orchestrator.policy_layers import layered, policy

from .conftest import installation

MANIFEST = installation(concurrency=4).manifest


def test_without_a_word_the_defaults_count_and_the_limits_of_the_manifest() -> None:
    found = layered(MANIFEST, {}, ())
    assert tuple(value.key for value in found) == POLICY_KEYS
    assert policy(found) == replace(RunPolicy(), concurrency=4, timeout=timedelta(seconds=60))
    assert {value.key for value in found if value.origin is Origin.MANIFEST} == {"concurrency", "timeout"}


def test_a_later_layer_counts_before_an_earlier_one_value_by_value() -> None:
    manifest = replace(MANIFEST, policy={"retries": 2, "rate": "10/60s", "overlap": "skip", "queue": 5})
    people = [PolicyValue("queue", 7, Origin.PERSON, "dana"), PolicyValue("rate", None, Origin.PERSON, "dana")]
    found = layered(manifest, {"retries": 1, "concurrency": 2, "queue": 6}, people)
    assert policy(found) == replace(
        RunPolicy(), concurrency=2, queue=7, overlap=Overlap.SKIP, timeout=timedelta(seconds=60), retries=1
    )
    assert {value.key: value.origin.value for value in found if value.origin is not Origin.DEFAULT} == {
        "concurrency": "settings",
        "queue": "person",
        "overlap": "manifest",
        "timeout": "manifest",
        "retries": "settings",
        "rate": "person",
    }
    assert next(value for value in found if value.key == "queue").set_by == "dana"
    assert policy(layered(manifest, {}, ())).rate == Rate(10, timedelta(minutes=1))


def test_what_another_version_stored_and_this_one_does_not_take_has_no_effect() -> None:
    people = [PolicyValue("retries", -4, Origin.PERSON), PolicyValue("later", 1, Origin.PERSON)]
    assert layered(MANIFEST, {}, people) == layered(MANIFEST, {}, ())
