from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from memory_link import RecordingAudit, grants

from moorage.broker.guard import CallGuard
from moorage.broker.link_state import Identity, LinkState
from moorage.broker.loop_shares import LoopShares
from moorage.broker.quota import Quota
from moorage.broker.use import Use
from moorage.models.manifest import Limits
from moorage_proto.capability import need
from moorage_proto.errors import CallError, Reason

VERBS = ("sql.read", "sql.write")


def link(*capabilities: str) -> LinkState:
    return LinkState(
        Identity("churn", "i-1", 1),
        grants(*capabilities),
        Quota("churn", Limits()),
        LoopShares().share(),
        RecordingAudit(),
        Use(()),
    )


def test_it_remembers_what_it_allowed_and_what_it_refused() -> None:
    guard = CallGuard(link("sql.read:users"), VERBS)
    assert not guard.decided
    assert not guard.decide(need("sql.read", "salaries")).allowed
    assert not guard.decided
    assert guard.decide(need("sql.read", "users")).allowed
    assert guard.decided
    assert guard.needs == (need("sql.read", "users"),)
    assert [decision.need for decision in guard.denials] == [need("sql.read", "salaries")]


def test_a_verb_that_the_contract_does_not_name_is_refused_even_when_granted() -> None:
    guard = CallGuard(link("sql.define:users", "sql.read:users"), VERBS)
    assert not guard.decide(need("sql.define", "users")).allowed
    assert not guard.covers(need("sql.define", "users"))
    assert guard.decide(need("sql.read", "users")).allowed


def test_asking_what_is_covered_decides_nothing() -> None:
    guard = CallGuard(link("sql.read:users"), VERBS)
    assert guard.covers(need("sql.read", "users"))
    assert not guard.covers(need("sql.read", "salaries"))
    assert not guard.decided
    assert guard.denials == ()


def test_require_raises_what_refusal_makes() -> None:
    guard = CallGuard(link("sql.read:users(id)"), VERBS)
    wanted = need("sql.read", "users", columns=["id", "name"])
    with pytest.raises(CallError) as refused:
        guard.require(wanted)
    assert refused.value.reason == Reason.CAPABILITY_MISSING
    assert refused.value.remedy == "moorage grant churn 'sql.read:users(id,name)'"
    assert guard.refusal(wanted).message == refused.value.message
    guard.require(need("sql.read", "users", columns=["id"]))


def test_it_decides_by_the_grants_of_the_moment() -> None:
    state = link("sql.read:users")
    guard = CallGuard(state, VERBS)
    guard.require(need("sql.read", "users"))
    guard.require_any("")
    assert not guard.revoked()
    state.grants = grants("sql.read:plays", epoch=1)
    assert guard.revoked()
    state.grants = grants("sql.read:users", epoch=2)
    assert not guard.revoked()


def test_many_threads_may_decide() -> None:
    guard = CallGuard(link("sql.read:t**"), VERBS)
    needs = [need("sql.read", f"{'t' if number % 2 else 'x'}{number}") for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        decisions = list(threads.map(guard.decide, needs * 5))
    assert sum(decision.allowed for decision in decisions) == 1000
    assert len(guard.needs) == len(guard.denials) == 200
