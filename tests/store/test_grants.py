from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from moorage.models.installation import Installation
from moorage.store.errors import GrantUnknown
from moorage.store.grants import Effect, Used
from moorage.store.store import Store
from moorage_proto.capability import CapabilityInvalid, need, parse

from .conftest import NOW


@pytest.fixture
async def churn(store: Store, installation: Installation) -> Store:
    await store.installations.add(installation)
    return store


async def test_what_is_requested_and_granted_is_effective(churn: Store) -> None:
    before = await churn.grants.effective("churn")
    await churn.grants.grant("churn", ["sql.read:**", "secrets.read:KEY"], by="dana", because="audited")

    grants = await churn.grants.effective("churn")

    assert grants.epoch == before.epoch + 1
    assert grants.allow == (parse("sql.read:users(id,name)"),)
    assert grants.decide(need("sql.read", "users", columns=["id"])).allowed
    assert not grants.decide(need("sql.read", "users", columns=["mail"])).allowed
    assert not grants.decide(need("secrets.read", "KEY")).allowed


async def test_a_row_tells_who_and_when(churn: Store) -> None:
    await churn.grants.grant("churn", ["sql.read:main/users"], by="dana", because="ticket 7")

    (row,) = await churn.grants.list("churn")

    assert (row.capability, row.effect, row.because, row.granted_by) == (
        "sql.read:users",
        Effect.ALLOW,
        "ticket 7",
        "dana",
    )
    assert row.granted_at.tzinfo is not None


async def test_a_deny_rule_beats_the_allow(churn: Store) -> None:
    await churn.grants.grant("churn", ["sql.read:users(id,name)"], by="dana")
    assert (await churn.grants.effective("churn")).decide(need("sql.read", "users", columns=["name"])).allowed

    await churn.grants.grant("churn", ["sql.read:users(name)"], by="eve", effect=Effect.DENY)

    grants = await churn.grants.effective("churn")
    assert not grants.decide(need("sql.read", "users", columns=["name"])).allowed
    assert grants.decide(need("sql.read", "users", columns=["id"])).allowed


async def test_granting_twice_changes_nothing(churn: Store) -> None:
    first = await churn.grants.grant("churn", ["sql.read:users", "sql.read:main/users"], by="dana")

    assert await churn.grants.grant("churn", ["sql.read:users"], by="eve") == first
    assert [row.granted_by for row in await churn.grants.list("churn")] == ["dana"]


async def test_revoking_takes_back_and_counts_the_epoch(churn: Store) -> None:
    granted = await churn.grants.grant("churn", ["sql.read:users", "kafka.produce:plugin-topic"], by="dana")

    assert await churn.grants.revoke("churn", ["sql.read:users"]) == granted + 1

    assert (await churn.grants.effective("churn")).allow == (parse("kafka.produce:plugin-topic"),)


async def test_revoking_what_was_not_granted_changes_nothing(churn: Store) -> None:
    epoch = await churn.grants.grant("churn", ["sql.read:users"], by="dana")

    with pytest.raises(GrantUnknown, match=r"Its grants: .*sql.read:users"):
        await churn.grants.revoke("churn", ["sql.read:users", "sql.read:orders"])

    grants = await churn.grants.effective("churn")
    assert (grants.epoch, len(grants.allow)) == (epoch, 1)


async def test_nonsense_is_refused(churn: Store) -> None:
    with pytest.raises(CapabilityInvalid):
        await churn.grants.grant("churn", ["everything"], by="dana")


async def test_missing_is_what_is_required_and_not_granted(churn: Store) -> None:
    assert await churn.grants.missing("churn") == (
        parse("sql.read:users(id,name)"),
        parse("kafka.produce:plugin-topic"),
    )

    await churn.grants.grant("churn", ["sql.read:users", "kafka.produce:plugin-*"], by="dana")

    assert await churn.grants.missing("churn") == ()


async def test_another_manifest_is_another_epoch(churn: Store, installation: Installation) -> None:
    epoch = (await churn.grants.effective("churn")).epoch

    await churn.installations.replace(replace(installation, manifest=replace(installation.manifest, capabilities=())))

    grants = await churn.grants.effective("churn")
    assert (grants.epoch, grants.allow) == (epoch + 1, ())


async def test_revoking_an_allow_leaves_the_deny_of_the_same_words(churn: Store) -> None:
    for effect in Effect:
        await churn.grants.grant("churn", ["kafka.produce:extra-1"], by="dana", effect=effect)

    await churn.grants.revoke("churn", ["kafka.produce:extra-1"])

    assert [row.effect for row in await churn.grants.list("churn")] == [Effect.DENY]
    with pytest.raises(GrantUnknown, match="was not granted"):
        await churn.grants.revoke("churn", ["kafka.produce:extra-1"])
    await churn.grants.revoke("churn", ["kafka.produce:extra-1"], effect=Effect.DENY)
    with pytest.raises(GrantUnknown, match=r"was not denied .* Its deny rules: none\."):
        await churn.grants.revoke("churn", ["kafka.produce:extra-1"], effect=Effect.DENY)


async def test_a_grant_becomes_fail_closed_and_stays_so(churn: Store) -> None:
    users = need("sql.read", "users", columns=["id"])
    first = await churn.grants.grant("churn", ["sql.read:users"], by="dana")
    assert not (await churn.grants.effective("churn")).decide(users).fail_closed

    assert await churn.grants.grant("churn", ["sql.read:users"], by="eve", fail_closed=True) == first + 1
    assert await churn.grants.grant("churn", ["sql.read:users"], by="eve") == first + 1

    assert (await churn.grants.effective("churn")).decide(users).fail_closed


async def test_uses_add_up_and_the_last_one_is_kept(churn: Store) -> None:
    epoch = await churn.grants.grant("churn", ["sql.read:users", "kafka.produce:extra-*"], by="dana")
    late, early = NOW + timedelta(hours=1), NOW

    await churn.grants.used({("churn", "sql.read:users"): Used(3, late), ("gone", "sql.read:users"): Used(1, late)})
    await churn.grants.used({("churn", "sql.read:users"): Used(2, early)})

    used, unused = await churn.grants.list("churn")
    assert (used.uses, used.used_at) == (5, late)
    assert (unused.uses, unused.used_at) == (0, None)
    assert (await churn.grants.effective("churn")).epoch == epoch
