"""How much a folder may hold, and what plugins are told of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest
from service_worlds import FakeWorld, HostWorld, World, closing, in_scope

from moorage.broker.services.storage import StorageService
from moorage.config.services.storage import StorageSettings
from moorage.models.manifest import Limits
from moorage.models.storage import StorageUse
from moorage.store.effective import effective, includes, intersection
from moorage.supervisor.orders import data_limit
from moorage_proto import capability
from moorage_proto.capability import CapabilityInvalid, Grants, parse, size_of
from moorage_sdk import Plugin
from moorage_sdk.storage import Storage
from moorage_sdk.testing import Moorage, TestedManifest
from moorage_sdk.testing.storage import FakeStorage

MIB = 2**20


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("64MiB", 64 * MIB), ("3KiB", 3072), ("2GiB", 2 * 2**30), ("1TiB", 2**40)],
)
def test_a_size_is_read(text: str, size: int) -> None:
    right = parse(f"storage.use:{text}")
    assert size_of(right) == size
    assert str(right) == f"storage.use:{text}"


@pytest.mark.parametrize(
    "text", ["64", "0MiB", "64 MiB", "64MB", "**", "*MiB", "-1MiB", "1.5MiB", "64mib", "1" * 16 + "B"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(CapabilityInvalid):
        parse(f"storage.use:{text}")


def test_a_smaller_size_is_part_of_a_larger_one() -> None:
    small, large = parse("storage.use:1024KiB"), parse("storage.use:64MiB")
    assert includes(large, small)
    assert not includes(small, large)
    assert includes(small, parse("storage.use:1MiB"))
    assert intersection(small, large) == intersection(large, small) == small
    assert effective([large], [small]) == (small,)
    assert large.covers(small)
    assert not small.covers(large)


def limit(*allow: str, deny: tuple[str, ...] = (), limits: Limits = Limits()) -> tuple[int, int]:  # noqa: B008 - frozen
    grants = Grants(tuple(map(parse, allow)), tuple(map(parse, deny)))
    found = data_limit(limits, grants, StorageSettings(max_files=20_000))
    return found.content_bytes, found.files


def test_the_largest_grant_is_the_bound_and_none_is_a_little() -> None:
    assert limit() == (MIB, 10_000)
    assert limit("storage.use:64MiB", "storage.use:16MiB", "sql.read:**") == (64 * MIB, 10_000)
    assert limit("storage.use:64MiB", deny=("storage.use:64MiB",)) == (MIB, 10_000)
    assert limit("storage.use:64MiB", limits=Limits(data_bytes=4 * MIB, data_files=50_000)) == (4 * MIB, 20_000)
    assert limit(limits=Limits(data_bytes=4 * MIB)) == (MIB, 10_000)


class Storages:
    def __init__(self, world: World) -> None:
        self.storage = Storage(world.worker("storage.use:64MiB").channel)


@pytest.fixture(params=["fake", "host"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    if request.param == "fake":
        fake = FakeStorage()
        assert fake.path.is_dir()
        with closing(FakeWorld(fake)) as world, in_scope():
            yield Storages(world).storage
        return

    async def measured(_: str) -> StorageUse:
        files = list(tmp_path.iterdir())
        used = sum(file.stat().st_blocks * 512 for file in files)
        return StorageUse(used, 64 * MIB, len(files), 10_000)

    monkeypatch.setenv("MOORAGE_DATA", str(tmp_path))
    with closing(HostWorld(StorageService(measured))) as world, in_scope():
        yield Storages(world).storage


def test_it_is_a_folder_and_tells_how_full_it_is(storage: Storage) -> None:
    (storage / "plays.txt").write_bytes(bytes(100_000))
    assert (Path(storage) / "plays.txt").stat().st_size == 100_000
    usage = storage.usage()
    assert 100_000 <= usage.used_bytes < 200_000
    assert (usage.files, usage.limit_bytes) == (1, 64 * MIB)
    assert usage.free_bytes == usage.limit_bytes - usage.used_bytes
    assert asyncio.run(storage.usage_async()).files == 1


async def test_who_asks_often_is_told_what_was_seen_a_moment_ago() -> None:
    looks = 0

    async def measured(_: str) -> StorageUse:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return StorageUse(0, 1, 0, 1)

    service = StorageService(measured)
    await asyncio.gather(*(service._look("churn").seen for _ in range(100)))
    await service._look("churn").seen
    await service._look("other").seen
    assert looks == 2
    await service.close()


plugin = Plugin()


@plugin.task
def execute(storage: Optional[Storage]) -> str:
    if storage is None:
        return "none"
    (storage / "kept").write_text("kept")
    return os.environ["MOORAGE_DATA"]


def test_in_the_testing_kit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOORAGE_DATA", raising=False)
    kit = Moorage(TestedManifest("churn", capabilities=(capability.parse("storage.use:1MiB"),)))
    assert kit.run(execute).result == str(kit.storage.path)
    assert (kit.storage.path / "kept").read_text() == "kept"
    kit.deny("storage.use:1MiB")
    assert kit.run(execute).result == "none"
    folder = kit.storage.path
    kit.close()
    assert not folder.exists()
    assert "MOORAGE_DATA" not in os.environ
