from __future__ import annotations

from dataclasses import replace

import pytest

from moorage.models.installation import DesiredState, Installation
from moorage.store.errors import InstallationExists, InstallationUnknown
from moorage.store.store import Store


async def test_an_installation_comes_back_as_it_was(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)

    assert await store.installations.get("churn") == installation
    assert await store.installations.list() == (installation,)


async def test_a_second_one_of_the_same_name_is_refused(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)

    with pytest.raises(InstallationExists, match="'churn' already"):
        await store.installations.add(replace(installation, venv_key="other"))

    assert (await store.installations.get("churn")).venv_key == installation.venv_key
    await store.installations.add(replace(installation, id="churn-b"))
    assert [found.id for found in await store.installations.list()] == ["churn", "churn-b"]


async def test_replacing_keeps_what_people_want(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    newer = replace(installation, manifest=replace(installation.manifest, version="2.0"), desired=DesiredState())

    await store.installations.replace(newer)

    found = await store.installations.get("churn")
    assert found.manifest.version == "2.0"
    assert found.desired == installation.desired


async def test_desired_state_is_set(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    desired = DesiredState(enabled=False, replicas=3, quarantined="died 5 times in 60 s")

    returned = await store.installations.set_desired("churn", desired)

    assert returned.desired == desired
    assert (await store.installations.get("churn")).desired == desired


async def test_unknown_names_are_refused_with_the_next_step(store: Store, installation: Installation) -> None:
    for attempt in (
        store.installations.get("ghost"),
        store.installations.remove("ghost"),
        store.installations.set_desired("ghost", DesiredState()),
        store.installations.replace(replace(installation, id="ghost")),
        store.grants.effective("ghost"),
        store.grants.missing("ghost"),
        store.grants.grant("ghost", ["sql.read:users"], by="dana"),
        store.grants.revoke("ghost", ["sql.read:users"]),
    ):
        with pytest.raises(InstallationUnknown, match=r"'ghost'.*moorage ls"):
            await attempt
    assert await store.installations.find("ghost") is None


async def test_removal_takes_the_grants_along(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    await store.grants.grant("churn", ["sql.read:users"], by="dana")

    await store.installations.remove("churn")

    assert await store.grants.list("churn") == ()
    assert await store.installations.find("churn") is None


async def test_a_uid_belongs_to_a_name_until_it_is_released(store: Store, installation: Installation) -> None:
    first = await store.uids.allocate("churn", first=61_001)
    second = await store.uids.allocate("scrobbler", first=61_001)
    await store.installations.add(installation)
    await store.installations.remove("churn")

    assert (first, second) == (61_001, 61_002)
    assert await store.uids.allocate("churn", first=70_000) == first
    assert await store.uids.allocate("third", first=61_001) == 61_003
    await store.installations.add(replace(installation, id="third"))
    await store.installations.remove("third", release_uid=True)
    assert await store.uids.allocate("fourth", first=61_001) == 61_003
