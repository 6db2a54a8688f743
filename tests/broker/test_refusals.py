"""An operator pastes the remedy into a shell, and the name in it was chosen by the plugin."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.broker import refusals
from moorage_proto import capability
from moorage_proto.capability import Decision, need

VERBS = st.sampled_from(["kafka.produce", "sql.read", "config.read", "secrets.read"])


@given(VERBS, st.text(max_size=300))
def test_the_remedy_is_one_word_for_the_shell_and_grants_what_was_asked_and_nothing_beside(verb, resource) -> None:
    wanted = need(verb, resource)
    command = refusals.grant_command("churn", wanted)
    if not command:
        return
    words = shlex.split(command)
    assert words[:3] == ["moorage", "grant", "churn"]
    (text,) = words[3:]
    right = capability.parse(text)
    assert right.covers(wanted)
    assert (right.verb, right.resource) == (wanted.verb, wanted.resource)
    assert "*" not in text
    assert "\n" not in command


@given(VERBS, st.text(alphabet="abcxyz_-", min_size=1, max_size=40))
def test_ordinary_names_have_a_remedy(verb, resource) -> None:
    assert refusals.grant_command("churn", need(verb, resource)) == f"moorage grant churn '{need(verb, resource)}'"


@given(VERBS, st.text(max_size=400))
def test_sentences_are_short_and_printable(verb, resource) -> None:
    error = refusals.capability_missing("churn", Decision(allowed=False, need=need(verb, resource)))
    assert error.message.isprintable()
    assert len(error.message) < 700
    assert error.capability.isprintable()


@pytest.mark.parametrize(
    "resource", ["**", "plays*", "a b", "a\nmoorage grant churn 'sql.read:**'", "x" * 500, "", "\u202eabc"]
)
def test_a_name_that_no_grant_can_name_gets_no_command(resource: str) -> None:
    error = refusals.capability_missing("churn", Decision(allowed=False, need=need("kafka.produce", resource)))
    assert error.remedy == ""
    assert "No grant can name exactly this resource" in error.message


def test_a_quote_in_a_name_stays_inside_the_word() -> None:
    command = refusals.grant_command("churn", need("config.read", "x';reboot;'"))
    assert shlex.split(command) == ["moorage", "grant", "churn", "config.read:x';reboot;'"]


def test_counting_rows_is_granted_by_the_table() -> None:
    wanted = need("sql.read", "users", columns=capability.ROWS_ALONE)
    assert refusals.grant_command("churn", wanted) == "moorage grant churn 'sql.read:users'"
