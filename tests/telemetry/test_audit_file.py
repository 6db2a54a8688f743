"""The audit as a file of JSON lines: its chain, its rotation, and a disk that fails."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moorage.models.audit import AuditEntry, AuditKind
from moorage.telemetry import audit_file
from moorage.telemetry.audit_file import AuditFile, FileUnusable, NotAnAudit, verify_files

ENTRY = AuditEntry(
    datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
    AuditKind.DENIED,
    "churn",
    "churn-1",
    "/Sql/Execute",
    "sql.read:cards",
    "Missing.",
    "e-1",
)


def entries(count: int, start: int = 0) -> list[AuditEntry]:
    return [replace(ENTRY, message=f"Number {start + number}.") for number in range(count)]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_lines_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.jsonl"
    sink = AuditFile(path, 1 << 20, 3)

    await sink.append(entries(2))
    await sink.append(entries(1, start=2))
    sink.close()

    first, second, third = lines(path)
    assert (first["message"], first["kind"], first["time"]) == ("Number 0.", "denied", "2026-11-20T09:30:00+00:00")
    assert (second["previous"], third["previous"]) == (first["digest"], second["digest"])
    assert path.stat().st_mode & 0o777 == 0o600
    report = verify_files([path])
    assert (report.entries, report.broken_at, report.last_digest) == (3, None, third["digest"])


async def test_the_next_host_goes_on_with_the_chain_and_cuts_off_what_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    before = AuditFile(path, 1 << 20, 3)
    await before.append(entries(2))
    before.close()
    with path.open("a") as file:
        file.write('{"time": "2026-11-20T09:3')

    await AuditFile(path, 1 << 20, 3).append(entries(1, start=2))

    assert [line["message"] for line in lines(path)] == ["Number 0.", "Number 1.", "Number 2."]
    assert verify_files([path]).broken_at is None


async def test_a_full_file_is_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = AuditFile(path, 1_000, 2)

    for number in range(6):
        await sink.append(entries(2, start=2 * number))
    sink.close()

    assert sorted(each.name for each in tmp_path.iterdir()) == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    kept = [tmp_path / "audit.jsonl.2", tmp_path / "audit.jsonl.1", path]
    assert [line["message"] for each in kept for line in lines(each)] == [f"Number {n}." for n in range(6, 12)]
    assert (verify_files(kept).entries, verify_files(kept).broken_at) == (6, None)
    # One in the middle is gone: it shows where the next begins.
    broken = verify_files([kept[0], kept[2]])
    assert (broken.broken_at, broken.place) == (1, str(path))


async def test_none_is_kept_where_none_should_be(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = AuditFile(path, 500, 0)
    for number in range(3):
        await sink.append(entries(1, start=number))
    sink.close()

    assert [each.name for each in tmp_path.iterdir()] == ["audit.jsonl"]
    await AuditFile(path, 1 << 20, 0).append(entries(1, start=3))
    assert verify_files([path]).broken_at is None


async def test_somebody_else_may_put_it_aside(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = AuditFile(path, 1 << 20, 3)
    await sink.append(entries(1))
    path.rename(tmp_path / "shipped")

    await sink.append(entries(1, start=1))
    sink.close()

    assert verify_files([tmp_path / "shipped", path]).entries == 2


async def test_a_disk_that_is_full_leaves_no_half_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    sink = AuditFile(path, 1 << 20, 3)
    await sink.append(entries(1))
    whole = path.read_bytes()

    def full(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(audit_file, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            await sink.append(entries(2, start=1))
    assert path.read_bytes() == whole

    await sink.append(entries(2, start=1))
    assert [line["message"] for line in lines(path)] == ["Number 0.", "Number 1.", "Number 2."]
    assert verify_files([path]).broken_at is None


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        (lambda found: found[1].update(message="Nothing happened."), 2),
        (lambda found: found[1].update(count=0), 2),
        (lambda found: found.pop(1), 2),
        (lambda found: found.insert(1, dict(found[0])), 2),
        (lambda found: found[2].update(previous="0" * 64), 3),
        (lambda found: found[0].pop("digest"), 1),
        (lambda found: found[0].update(kind="harmless"), 1),
    ],
)
async def test_tampering_is_found_with_its_place(tmp_path: Path, tamper, line: int) -> None:
    path = tmp_path / "audit.jsonl"
    await AuditFile(path, 1 << 20, 3).append(entries(4))
    found = lines(path)
    tamper(found)
    path.write_text("".join(json.dumps(each) + "\n" for each in found))

    report = verify_files([path])

    assert (report.broken_at, report.place, report.entries) == (line, str(path), line - 1)
    assert f"line {line} of {path} is not what was written" in report.sentence


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotAnAudit, match="no such file"):
        verify_files([tmp_path / "nothing"])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\n")
    assert verify_files([tmp_path / "binary"]).broken_at == 1


@pytest.mark.parametrize(
    "content", [b'{"level": "INFO"}\n', b"no line end", b"line\nand half", b"[1]\n", b"\0" * 100_000]
)
async def test_a_file_of_somebody_elses_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(content)
    sink = AuditFile(path, 1 << 20, 3)
    for _ in range(2):
        with pytest.raises(FileUnusable, match=r"app\.log: .*Name another file with audit\.file"):
            await sink.append(entries(1))
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"{", b'{"time": ', b'{"time": "2026-11-20T09:3'])
async def test_of_a_first_line_that_is_torn_nothing_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(content)
    await AuditFile(path, 1 << 20, 3).append(entries(1))
    assert (verify_files([path]).entries, verify_files([path]).broken_at) == (1, None)


async def test_two_hosts_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    first, second = AuditFile(path, 1 << 20, 3), AuditFile(path, 1 << 20, 3)
    await first.append(entries(1))
    with pytest.raises(FileUnusable, match="another host writes to it"):
        await second.append(entries(1))
    first.close()
    await second.append(entries(1, start=1))
    second.close()
    assert (verify_files([path]).entries, verify_files([path]).broken_at) == (2, None)


async def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        await AuditFile(tmp_path / "audit.jsonl", 1 << 20, 3).append(entries(1))
    assert (tmp_path / "elsewhere").read_text() == ""
