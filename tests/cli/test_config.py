"""``moorage config``."""

from __future__ import annotations

import json

import pytest

from moorage.models.config import Heard, Hearing


def test_settings_are_shown_with_where_they_come_from(moorage, host):
    shown = moorage("config", "churn").stdout
    assert "the manifest" in shown
    assert "the settings file" in shown
    host.config.problem = "Settings of churn: retries: 'many' is no number."
    assert "is no number" in moorage("config", "churn", "show").stdout
    assert json.loads(moorage("config", "churn", "--json").stdout)["entries"][0]["key"] == "greeting"


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("a=5", 5),
        ("a=true", True),
        ('a=["b", 1]', ["b", 1]),
        ('a="5"', "5"),
        ("a=x=y", "x=y"),
        ("a=", ""),
        ("a=10 minutes", "10 minutes"),
    ],
)
def test_a_value_is_json_or_text(moorage, host, given, value):
    done = moorage("config", "churn", "set", given)
    assert done.exit_code == 0, done.output
    assert host.config.values["a"] == value
    assert "run time: " in done.stdout


def test_text_is_text_when_told_so(moorage, host):
    moorage("config", "churn", "set", "--text", "a=5")
    assert host.config.values["a"] == "5"


def test_what_workers_make_of_it_is_told(moorage, host):
    host.config.heard = (Heard(7, Hearing.TAKEN), Heard(8, Hearing.REFUSED, "never that"), Heard(9, Hearing.UNHEARD))
    done = moorage("config", "churn", "set", "greeting=ahoy", "retries=5")
    assert 'greeting = "ahoy"' in done.stdout
    assert "#7 has taken it." in done.stdout
    assert "#8 said no: never that" in done.stderr
    assert "#9 did not hear of it" in done.stderr


def test_what_was_set_is_taken_back(moorage):
    moorage("config", "churn", "set", "greeting=ahoy")
    assert "greeting is not set any more." in moorage("config", "churn", "unset", "greeting").stdout
    assert moorage("config", "churn", "unset", "greeting").exit_code == 65


@pytest.mark.parametrize(
    "words", [("show", "a"), ("set",), ("set", "a"), ("set", "=5"), ("unset",), ("change", "a=5"), ("set", "a..b=5")]
)
def test_a_wrong_command_line_changes_nothing(moorage, host, words):
    before = dict(host.config.values)
    assert moorage("config", "churn", *words).exit_code in (2, 65)
    assert host.config.values == before
