"""What the settings file says of triggers and policies."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.app.declared import policies_of, triggers_of
from moorage.config.settings import Settings, SettingsInvalid
from moorage.models.policy import Rate
from moorage.models.selection import Selector


def settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


def test_what_is_said_of_triggers() -> None:
    declared = triggers_of(
        settings(
            installations={"churn": {"triggers": {"nightly": {"timezone": "UTC"}, "extra": {"interval": "5 min"}}}},
            triggers={"all": {"cron": "0 6 * * *", "select": {"tags": ["etl"]}}},
        )
    )
    assert declared.settings == {
        "churn": {"nightly": {"timezone": "UTC"}, "extra": {"kind": "interval", "source": "5 min"}}
    }
    assert declared.selecting == {"all": {"kind": "cron", "source": "0 6 * * *", "select": Selector(tags=("etl",))}}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"installations": {"churn": {"triggers": {"a": {"corn": "0 6 * * *"}}}}},
            "installations.churn.triggers.a: corn: unknown key; did you mean 'cron'?",
        ),
        (
            {"installations": {"churn": {"triggers": {"A b": {}}}}},
            "installations.churn.triggers: 'A b' is not allowed;",
        ),
        (
            {"installations": {"churn": {"triggers": {"a": {"select": {}}}}}},
            "installations.churn.triggers.a.select: this trigger belongs to one installation.",
        ),
        ({"triggers": {"a": {"interval": 5}}}, "triggers.a: it says of no installation that it is for; write select"),
        ({"triggers": {"a": {"select": {}}}}, "triggers.a: it says of no kind what it is"),
        (
            {"triggers": {"a": {"interval": 5, "select": {"tag": []}}}},
            "triggers.a.select: 'tag' is no part of a selector; did you mean tags?",
        ),
    ],
)
def test_what_is_wrong_is_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        triggers_of(settings(**values))
    assert str(refused.value).startswith(sentence)


def test_every_problem_is_told() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        triggers_of(settings(triggers={"a": {"interval": 5}, "b": {"cron": "x", "foo": 1}}))
    assert len(str(refused.value).splitlines()) == 3


def test_what_is_said_of_policies() -> None:
    found = policies_of(settings(installations={"churn": {"policy": {"retries": 2, "rate": "10/1 min", "timeout": 5}}}))
    assert {key: str(value) for key, value in found["churn"].items()} == {
        "retries": "2",
        "rate": "10/60s",
        "timeout": "0:00:05",
    }
    assert isinstance(found["churn"]["rate"], Rate)
    with pytest.raises(SettingsInvalid, match=r"installations\.churn\.policy: rate: 'fast' is no rate"):
        policies_of(settings(installations={"churn": {"policy": {"rate": "fast"}}}))
