"""Several hosts on one store: what they share, and what is each one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from moorage.models.incarnation import IncarnationState, IncarnationStatus
from moorage.models.installation import DesiredState, Installation
from moorage.store.errors import InstallationExists, InstallationUnknown, InstalledElsewhere
from moorage.store.store import Store

from .conftest import NOW
from .test_executions import queued
from .test_migrations import old_store

WORKER = IncarnationStatus("churn-1-ab", 1, "churn", IncarnationState.READY, 12, "zygote", "full", NOW)


@pytest.fixture
async def pair(postgres_url: str) -> AsyncIterator[tuple[Store, Store]]:
    async with Store(postgres_url, host="one") as one, Store(postgres_url, host="two") as two:
        yield one, two


@pytest.mark.system
async def test_a_second_host_takes_what_people_want_and_keeps_its_own_version(
    pair: tuple[Store, Store], installation: Installation
) -> None:
    one, two = pair
    await one.installations.add(installation)
    await one.grants.grant("churn", ["sql.read:users"], by="dana")
    assert await two.installations.list() == ()
    with pytest.raises(InstallationUnknown):
        await two.installations.get("churn")

    newer = replace(installation.manifest, version="2.0", capabilities=installation.manifest.capabilities[:1])
    own = replace(installation, manifest=newer, code_path=Path("elsewhere"), uid=70_000, desired=DesiredState())
    added = await two.installations.add(own)

    assert added == replace(own, desired=installation.desired)
    assert await two.installations.list() == (added,)
    assert await one.installations.list() == (installation,)
    assert (await two.grants.missing("churn"), len(await one.grants.missing("churn"))) == ((), 1)
    with pytest.raises(InstallationExists):
        await two.installations.add(own)


@pytest.mark.system
async def test_one_name_is_one_plugin_on_all_hosts(pair: tuple[Store, Store], installation: Installation) -> None:
    one, two = pair
    await one.installations.add(installation)
    other = replace(installation, manifest=replace(installation.manifest, name="scrobbler"))
    with pytest.raises(InstalledElsewhere, match="--name churn-2"):
        await two.installations.add(other)
    await two.installations.add(replace(other, id="churn-2"))


@pytest.mark.system
async def test_what_one_host_changes_the_other_notices(pair: tuple[Store, Store], installation: Installation) -> None:
    one, two = pair
    await one.installations.add(installation)
    await two.installations.add(installation)
    before = (await two.installations.revisions())["churn"]

    await one.installations.set_desired("churn", DesiredState(enabled=False))
    disabled = (await two.installations.revisions())["churn"]
    await one.grants.grant("churn", ["sql.read:users"], by="dana")
    granted = (await two.installations.revisions())["churn"]
    await one.config.change("churn", (), ("greeting",), {})
    changed = (await two.installations.revisions())["churn"]
    await one.installations.remove("churn")

    assert disabled.number == before.number + 1
    assert granted.grants_epoch == before.grants_epoch + 1
    assert changed.number == disabled.number + 1
    assert await two.installations.revisions() == {}
    assert await two.installations.list() == ()


@pytest.mark.system
async def test_uids_and_workers_are_a_hosts_own(pair: tuple[Store, Store]) -> None:
    one, two = pair
    assert [await each.uids.allocate("churn", first=61_001) for each in (one, two)] == [61_001, 61_001]
    assert await one.uids.allocate("other", first=61_001) == 61_002

    await one.incarnations.record(WORKER)
    assert await one.incarnations.living() == (WORKER,)
    assert await two.incarnations.living() == ()
    assert await two.incarnations.living("one") == (WORKER,)


async def test_a_file_belongs_to_whoever_opens_it(tmp_path: Path, installation: Installation) -> None:
    """The machine may have another name by now."""
    path = tmp_path / "moorage.db"
    async with Store(path, host="before") as store:
        await store.installations.add(installation)
        await store.uids.allocate("churn", first=61_001)
        await store.incarnations.record(WORKER)
        await store.executions.create(replace(queued(), host="before"))

    async with Store(path, host="now") as store:
        assert await store.installations.list() == (installation,)
        assert await store.uids.allocate("churn", first=70_000) == 61_001
        assert await store.incarnations.living() == (WORKER,)
        assert (await store.executions.get("e-1")).host == "now"


@pytest.mark.system
async def test_a_database_keeps_what_other_hosts_have(postgres_url: str, installation: Installation) -> None:
    for host in ("", "before"):
        async with Store(postgres_url, host=host) as store:
            await store.installations.add(replace(installation, id=f"churn-{host}"))

    async with Store(postgres_url, host="now") as store:
        assert [each.id for each in await store.installations.list()] == []
    async with Store(postgres_url, host="before") as store:
        assert [each.id for each in await store.installations.list()] == ["churn-", "churn-before"]


async def test_an_installation_of_an_older_schema_is_adopted(tmp_path: Path) -> None:
    path = tmp_path / "moorage.db"
    old_store(
        path,
        "0005",
        """
        INSERT INTO installations (id, plugin, version, manifest, source_path, code_path, code_hash, code_roots,
          venv_key, config, uid, start, installed_at, enabled, held_reason, held_by, replicas, quarantined,
          grants_epoch, loaded_version)
        VALUES ('churn', 'churn', '1.2.0', '{"name":"churn","version":"1.2.0","entry_point":"churn:plugin"}', 'plugins',
          'code', 'ab', '["src"]', 'cd', '{"a": 1}', 61001, NULL, '2026-11-20 09:30:00', 1, 'INC-1', 'dana', 2, '', 7,
          '1.1.0')
    """,
        "INSERT INTO uids VALUES (61001, 'churn', '2026-11-20 09:30:00')",
        """
        INSERT INTO grants (installation, capability, effect, because, granted_by, granted_at, fail_closed, uses)
        VALUES ('churn', 'sql.read:users', 'allow', '', 'dana', '2026-11-20 09:30:00', 0, 0)
    """,
    )

    async with Store(path, host="now") as store:
        found = await store.installations.get("churn")
        assert (found.manifest.version, found.uid, found.config) == ("1.2.0", 61001, {"a": 1})
        assert (found.desired.held_by, found.desired.replicas) == ("dana", 2)
        assert await store.installations.loaded_version("churn") == "1.1.0"
        assert [grant.capability for grant in await store.grants.list("churn")] == ["sql.read:users"]
        assert (await store.grants.effective("churn")).epoch == 7
        assert await store.uids.allocate("churn", first=70_000) == 61_001
        rows = await store._database.read(lambda c: c.execute(text("PRAGMA foreign_key_check")).all())
        assert rows == []
