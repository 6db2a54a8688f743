"""What people are told of an installation's rights, from its manifest and what was granted and denied."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from moorage.app.granted import denial_views, grant_views, in_effect
from moorage.app.grants import _check_known
from moorage.errors import Invalid
from moorage.models.dangers import dangers
from moorage.models.manifest import Manifest, RequestedCapability
from moorage.models.views import GrantView
from moorage.store.effective import effective, includes, missing
from moorage.store.grants import Effect, Grant, Rights
from moorage_proto.capability import Grants, parse

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def manifest(required: list[str], optional: list[str] | None = None) -> Manifest:
    requests = [(text, True) for text in required] + [(text, False) for text in optional or []]
    capabilities = tuple(RequestedCapability(parse(text), f"for {text}", is_needed) for text, is_needed in requests)
    return Manifest("churn", "1.0.0", "churn.plugin:plugin", capabilities=capabilities)


def rows(*allowed: str, deny: tuple[str, ...] = ()) -> list[Grant]:
    return [Grant(text, Effect.ALLOW, "", "dana", NOON) for text in allowed] + [
        Grant(text, Effect.DENY, "INC-7", "eve", NOON) for text in deny
    ]


def rights(asked: Manifest, given: list[Grant]) -> Rights:
    """As the store puts them together."""
    allowed = [parse(row.capability) for row in given if row.effect is Effect.ALLOW]
    denied = tuple(parse(row.capability) for row in given if row.effect is Effect.DENY)
    requested = [request.capability for request in asked.capabilities]
    denying = tuple(rule for rule in denied if any(includes(rule, right) for right in asked.required))
    return Rights(Grants(effective(requested, allowed), denied), missing(asked.required, allowed, denied), denying)


def views(asked: Manifest, given: list[Grant]) -> dict[str, GrantView]:
    return {view.capability: view for view in grant_views(asked, given, rights(asked, given), {})}


def test_a_wider_grant_is_who_granted_the_narrower_request() -> None:
    found = views(manifest(["sql.read:users"]), rows("sql.read:**"))

    assert list(found) == ["sql.read:users"]
    assert (found["sql.read:users"].granted, found["sql.read:users"].granted_by) == (True, "dana")
    assert found["sql.read:users"].meaning == "It reads the table users."


def test_a_narrower_grant_stands_beside_the_request_that_it_does_not_fill() -> None:
    found = views(manifest(["sql.read:users"]), rows("sql.read:users(id)"))

    assert not found["sql.read:users"].granted
    narrower = found["sql.read:users(id)"]
    assert (narrower.granted, narrower.required, narrower.because) == (True, False, "part of what was asked for")


def test_what_is_not_asked_for_any_more_has_no_effect_and_is_shown() -> None:
    found = views(manifest([], ["config.read:a"]), rows("sql.read:users"))

    assert (found["sql.read:users"].requested, found["sql.read:users"].granted) == (False, False)
    assert found["sql.read:users"].granted_by == "dana"
    assert found["config.read:a"].requested


def test_a_deny_rule_is_named_where_it_takes_something_away() -> None:
    asked, given = manifest(["sql.read:users"], ["sql.read:plays"]), rows("sql.read:**", deny=("sql.read:users",))
    found = views(asked, given)

    assert (found["sql.read:users"].granted, found["sql.read:users"].denied_by) == (False, "sql.read:users")
    assert (found["sql.read:plays"].granted, found["sql.read:plays"].denied_by) == (True, "")
    (denial,) = denial_views(given, {})
    assert (denial.denied_by, denial.because, denial.meaning) == ("eve", "INC-7", "It reads the table users.")


def test_what_is_denied_whole_is_dangerous_no_more() -> None:
    asked = manifest(["sql.read:**", "http.post:**"])
    assert dangers(in_effect(rights(asked, rows("sql.read:**", "http.post:**"))))

    assert dangers(in_effect(rights(asked, rows("sql.read:**", "http.post:**", deny=("http.post:**",))))) == ()


def test_a_deny_rule_that_denies_nothing_is_refused() -> None:
    verbs = frozenset({"sql.read", "sql.write", "storage.use"})
    _check_known(["sql.read:users(mail)", "storage.use:1MiB"], verbs)
    with pytest.raises(Invalid, match=r"^No service of this host knows sql\.raed, so sql\.raed:users denies nothing; "):
        _check_known(["sql.read:users", "sql.raed:users"], verbs)
