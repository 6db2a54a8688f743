"""One file that holds a store, whichever database it comes from and goes to; and files that are none."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from servers.postgres import PostgresServer
from sqlalchemy import URL, make_url

from moorage.models.execution import ExecutionState
from moorage.models.installation import Installation
from moorage.models.secret import SealedSecret, SecretOrigin
from moorage.store import archive, schema
from moorage.store.backup import back_up, restore
from moorage.store.engine import for_file
from moorage.store.errors import (
    BackupDamaged,
    BackupExists,
    BackupForeign,
    BackupNewer,
    HostsRunning,
    NoStore,
    StoreFailed,
    StoreNotEmpty,
)
from moorage.store.postgresql import Timeouts
from moorage.store.store import Store

from .conftest import NOW
from .test_executions import queued
from .test_history import ENTRY, LINE
from .test_migrations import OLD, old_store

#: Whole files and servers, step by step: not among the quickest.
pytestmark = pytest.mark.system

TIMEOUTS = Timeouts()
Rows = dict[str, list[tuple[object, ...]]]


async def fill(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    await store.grants.grant("churn", ["sql.read:users"], by="dana")
    sealed = SealedSecret("churn", "KEY", "k-1", b"\x00\xff sealed", SecretOrigin.OPERATOR, "dana", NOW)
    await store.secrets.put([sealed])
    await store.audit.append([ENTRY, replace(ENTRY, message="Größe ☃ '\"\n")])
    await store.logs.append([replace(LINE, message=f"line {number}") for number in range(1200)])
    done = replace(queued("e-2", input={"n": 2**70, "at": NOW}), state=ExecutionState.SUCCEEDED, ended_at=NOW)
    await store.executions.create(queued("e-1"))
    await store.executions.create(replace(done, result=[1.5, b"\x00"]))
    await store.uids.allocate("churn", first=61_001)
    await store.incarnations.next_number("churn")


async def rows(store: Store) -> Rows:
    """All that there is, as the store's own types read it."""

    def work(connection: object) -> Rows:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(table.select().order_by(*table.primary_key.columns))  # type: ignore[attr-defined]
            ]
            for table in schema.metadata.sorted_tables
        }

    return await store._database.read(work)


def url_of(location: Path | str) -> URL:
    return for_file(location) if isinstance(location, Path) else make_url(location)


@pytest.fixture
def other(server_or_none: PostgresServer | None, tmp_path: Path) -> Callable[[str], URL]:
    """An empty place for a store of that kind."""

    def made(kind: str) -> URL:
        if kind == "sqlite":
            return for_file(tmp_path / "other" / "moorage.db")
        assert server_or_none is not None
        server_or_none.run("DROP DATABASE IF EXISTS other WITH (FORCE)", "CREATE DATABASE other")
        return make_url(server_or_none.url(database="other")).set(drivername="postgresql+psycopg")

    return made


@pytest.fixture
def server_or_none(request: pytest.FixtureRequest) -> PostgresServer | None:
    """PostgreSQL is started for those alone that need it."""
    needs = request.node.get_closest_marker("system") is not None
    return request.getfixturevalue("server") if needs else None


@pytest.mark.parametrize("target", ["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
async def test_what_was_backed_up_is_there_again(
    store: Store,
    location: Path | str,
    other: Callable[[str], URL],
    target: str,
    installation: Installation,
    tmp_path: Path,
) -> None:
    await fill(store, installation)
    before, file = await rows(store), tmp_path / "moorage.backup"

    made = await asyncio.to_thread(back_up, url_of(location), TIMEOUTS, file)
    place = other(target)
    await asyncio.to_thread(restore, place, TIMEOUTS, file)

    assert (made.revision, made.rows) == (schema.REVISION, sum(map(len, before.values())))
    assert file.stat().st_mode & 0o777 == 0o600
    async with Store(place) as restored:
        assert await rows(restored) == before
        assert (await restored.audit.verify()).broken_at is None
        # What comes next has numbers that nothing has yet.
        (line,) = await restored.logs.append([LINE])
        assert line.id > 1200
        await restored.audit.append([ENTRY])
        await restored.grants.grant("churn", ["kafka.produce:plugin-topic"], by="dana")
        assert (await restored.audit.verify()).entries == 3


async def test_a_back_up_is_of_one_moment_while_others_write(
    store: Store, location: Path | str, tmp_path: Path
) -> None:
    """Lines are appended all the while, each with an entry of the audit in the transaction before."""
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            await store.audit.append([ENTRY])
            await store.logs.append([replace(LINE, message=str(number))])
            number += 1

    writing = asyncio.create_task(write())
    for number in range(5):
        await asyncio.to_thread(back_up, url_of(location), TIMEOUTS, tmp_path / f"{number}.backup")
    stop.set()
    await writing
    for number in range(5):
        with archive.reading(tmp_path / f"{number}.backup") as made:
            made.check()
            counts = {table.name: table.rows for table in made.manifest.tables}
        assert counts["audit"] - counts["log_lines"] in (0, 1)


async def test_an_older_one_is_migrated(tmp_path: Path) -> None:
    old_store(tmp_path / "old.db", "0001", OLD)
    made = back_up(for_file(tmp_path / "old.db"), TIMEOUTS, tmp_path / "old.backup")
    assert made.revision == "0001"

    restore(for_file(tmp_path / "moorage.db"), TIMEOUTS, tmp_path / "old.backup")

    async with Store(tmp_path / "moorage.db") as store:
        assert len(await store.incarnations.list("churn")) == 1


async def test_what_there_is_is_not_overwritten_unasked(
    store: Store, location: Path | str, installation: Installation, tmp_path: Path
) -> None:
    url, file = url_of(location), tmp_path / "moorage.backup"
    await asyncio.to_thread(back_up, url, TIMEOUTS, file)
    await fill(store, installation)
    with pytest.raises(BackupExists, match="not overwritten"):
        await asyncio.to_thread(back_up, url, TIMEOUTS, file)
    with pytest.raises(StoreNotEmpty, match="--replace"):
        await asyncio.to_thread(restore, url, TIMEOUTS, file)
    assert len(await store.installations.list()) == 1

    await store.close()
    await asyncio.to_thread(restore, url, TIMEOUTS, file, replace=True)
    await store.open()
    assert await store.installations.list() == ()


@pytest.mark.system
async def test_hosts_that_run_are_not_deprived_of_their_store(postgres_url: str, tmp_path: Path) -> None:
    url, file = make_url(postgres_url), tmp_path / "moorage.backup"
    async with Store(postgres_url, host="one") as store:
        await asyncio.to_thread(back_up, url, TIMEOUTS, file)
        await store.hosts.register("machine-7", "1.0", timedelta(minutes=1))
        with pytest.raises(HostsRunning, match="machine-7"):
            await asyncio.to_thread(restore, url, TIMEOUTS, file, replace=True)
        await store.hosts.leave()
    await asyncio.to_thread(restore, url, TIMEOUTS, file, replace=True)


@pytest.fixture
async def made(tmp_path: Path, empty_store: Path, installation: Installation) -> Path:
    path = Path(shutil.copy(empty_store, tmp_path / "moorage.db"))
    async with Store(path) as store:
        await fill(store, installation)
    back_up(for_file(path), TIMEOUTS, tmp_path / "whole.backup")
    return tmp_path / "whole.backup"


async def test_a_whole_one_takes_the_place_of_what_there_was(made: Path, tmp_path: Path) -> None:
    async with Store(tmp_path / "target.db") as store:
        await store.executions.create(queued("e-9"))
    restore(for_file(tmp_path / "target.db"), TIMEOUTS, made, replace=True)
    async with Store(tmp_path / "target.db") as store, Store(tmp_path / "moorage.db") as whole:
        assert await rows(store) == await rows(whole)


def changed(made: Path, name: str, change: Callable[[bytes], bytes | None]) -> Path:
    """A copy in which one member is another, or is not there."""
    copy = made.with_name("changed.backup")
    with zipfile.ZipFile(made) as before, zipfile.ZipFile(copy, "w") as after:
        for info in before.infolist():
            content: bytes | None = before.read(info)
            if info.filename == name:
                content = change(before.read(info))
            if content is not None:
                after.writestr(info.filename, content)
    return copy


def manifest(**values: object) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | values).encode()


LINES = "tables/log_lines.jsonl"


@pytest.mark.parametrize(
    ("name", "change", "error", "words"),
    [
        (LINES, lambda content: content.replace(b"line 7", b"line 8", 1), BackupDamaged, "log_lines are not those"),
        (LINES, lambda content: content[: len(content) // 2], BackupDamaged, "log_lines"),
        (LINES, lambda content: content[: content.index(b"\n") + 1], BackupDamaged, "log_lines are not those"),
        (LINES, lambda _: b"[1]\n", BackupDamaged, "is no row of it"),
        (LINES, lambda _: b"{\n", BackupDamaged, "row 1 of log_lines cannot be read"),
        (LINES, lambda _: None, BackupDamaged, "log_lines cannot be read"),
        ("manifest.json", lambda _: None, BackupForeign, "no back-up of a Moorage store"),
        ("manifest.json", lambda _: b"[]", BackupForeign, "no back-up"),
        ("manifest.json", manifest(format="other"), BackupForeign, "no back-up"),
        ("manifest.json", manifest(format_version=2), BackupNewer, "version 2"),
        ("manifest.json", manifest(revision="9999"), BackupNewer, r"9999.*Upgrade"),
        ("manifest.json", manifest(tables=[]), BackupDamaged, "not those of its schema"),
        ("manifest.json", manifest(revision=["0009"]), BackupNewer, "0009"),
        (
            "manifest.json",
            manifest(tables=[{"name": [], "columns": [[]], "rows": 0, "sha256": ""}]),
            BackupDamaged,
            "cannot be read",
        ),
        (LINES, lambda _: b"[" * 100_000 + b"\n", BackupDamaged, "row 1 of log_lines cannot be read"),
    ],
)
async def test_what_is_no_whole_back_up_changes_nothing(
    made: Path,
    name: str,
    change: Callable[[bytes], bytes | None],
    error: type[Exception],
    words: str,
    tmp_path: Path,
    empty_store: Path,
) -> None:
    target = Path(shutil.copy(empty_store, tmp_path / "target.db"))
    async with Store(target) as store:
        await store.logs.append([LINE])

    with pytest.raises(error, match=words):
        restore(for_file(target), TIMEOUTS, changed(made, name, change), replace=True)

    async with Store(target) as store:
        assert len(await store.logs.read()) == 1


def rewritten(made: Path, column: str, value: object) -> Path:
    """A copy whose only log line has that value, with the sums that belong to it."""
    with zipfile.ZipFile(made) as before:
        told = json.loads(before.read("manifest.json"))
        table = next(each for each in told["tables"] if each["name"] == "log_lines")
        row = json.loads(before.read(LINES).splitlines()[0])
    row[table["columns"].index(column)] = value
    line = json.dumps(row).encode() + b"\n"
    table |= {"rows": 1, "sha256": hashlib.sha256(line).hexdigest()}
    made = changed(made, "manifest.json", lambda _: json.dumps(told).encode()).rename(made.with_name("told.backup"))
    return changed(made, LINES, lambda _: line)


@pytest.mark.parametrize(
    ("column", "value"),
    [("time", "hello"), ("time", 5), ("level", 10**30), ("message", [1]), ("message", None), ("message", "\ud800")],
)
async def test_a_row_that_does_not_fit_into_its_table_is_a_sentence(
    made: Path, column: str, value: object, tmp_path: Path
) -> None:
    with pytest.raises(BackupDamaged, match="a row of log_lines does not fit into its table"):
        restore(for_file(tmp_path / "target.db"), TIMEOUTS, rewritten(made, column, value))


@pytest.mark.parametrize("offset", [6, 8], ids=["encrypted", "lzma"])
async def test_what_the_zip_cannot_open_is_a_sentence(made: Path, tmp_path: Path, offset: int) -> None:
    content = bytearray(made.read_bytes())
    with zipfile.ZipFile(made) as archive:
        local = archive.getinfo(LINES).header_offset
    central = content.rindex(LINES.encode()) - 46
    for place in (local + offset, central + offset + 2):
        content[place] = 1 if offset == 6 else zipfile.ZIP_LZMA
    (tmp_path / "closed.backup").write_bytes(content)
    with pytest.raises(BackupDamaged, match="log_lines cannot be read"):
        restore(for_file(tmp_path / "target.db"), TIMEOUTS, tmp_path / "closed.backup")


async def test_a_file_that_was_cut_off_is_refused_wherever_it_was(made: Path, tmp_path: Path) -> None:
    content = made.read_bytes()
    for part in (0, 1, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.backup").write_bytes(content[:part])
        with pytest.raises((BackupForeign, BackupDamaged)):
            restore(for_file(tmp_path / "none.db"), TIMEOUTS, tmp_path / "cut.backup")
    assert not (tmp_path / "none.db").exists()


async def test_bits_that_fell_over_are_noticed(made: Path, tmp_path: Path) -> None:
    content = made.read_bytes()
    for place in range(0, len(content), len(content) // 12):
        broken = bytearray(content)
        broken[place] ^= 0x10
        (tmp_path / "broken.backup").write_bytes(broken)
        try:
            restore(for_file(tmp_path / f"{place}.db"), TIMEOUTS, tmp_path / "broken.backup")
        except (BackupForeign, BackupDamaged):
            continue
        # Of what a zip says twice one may be wrong, or of no importance.
        async with Store(tmp_path / f"{place}.db") as store, Store(tmp_path / "moorage.db") as whole:
            assert await rows(store) == await rows(whole)


def test_where_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(NoStore, match="start the host once"):
        back_up(for_file(tmp_path / "moorage.db"), TIMEOUTS, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BackupDamaged, match="No such file"):
        restore(for_file(tmp_path / "moorage.db"), TIMEOUTS, tmp_path / "file")


async def test_a_folder_that_is_not_there_is_a_sentence(made: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="No such file"):
        back_up(for_file(tmp_path / "moorage.db"), TIMEOUTS, tmp_path / "none" / "file")
