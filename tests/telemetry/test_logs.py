from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.models.log import LogLine
from moorage.telemetry.lines import CUT_MARK
from moorage.telemetry.logs import FIELDS_LIMIT, LINES_KEPT, TEXT_LIMIT, WAITING_CHARACTERS, WAITING_LINES, Logs
from moorage.telemetry.masking import Masker
from moorage.telemetry.plain import cut, neutralise

from .conftest import Clock, Sink


@contextlib.asynccontextmanager
async def opened(sink: Sink, clock: Clock) -> AsyncIterator[Logs]:
    logs = Logs(sink, now=clock, interval=timedelta(hours=1))
    await logs.open()
    yield logs
    await logs.close()


def line(clock: Clock, message: str = "counted", **values: Any) -> LogLine:
    return replace(LogLine("churn", "churn-1", clock(), 20, "churn", message), **values)


async def test_lines_are_stored_in_order(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        for number in range(10):
            logs.write(line(clock, str(number)))
        await logs.flush()
        assert [stored.message for stored in sink.stored] == [str(number) for number in range(10)]
        logs.write(line(clock, "last"))
    assert sink.stored[-1].message == "last"


async def test_a_flood_is_dropped_counted_and_told(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        for _ in range(WAITING_LINES + 41):
            logs.write(line(clock))
        logs.drop("churn", "churn-1", 1)
        logs.write(line(clock, "quiet", installation="other"))
        await logs.flush()
        churn = [stored for stored in sink.stored if stored.installation == "churn"]
        assert len(churn) == WAITING_LINES + 1
        (told,) = (stored for stored in churn if stored.logger == "moorage")
        assert told.message == "42 lines dropped: more came than the host takes from one installation."
        assert [stored.message for stored in sink.stored if stored.installation == "other"] == ["quiet"]

        logs.write(line(clock, "again"))
    assert sink.stored[-1].message == "again"


async def test_few_huge_lines_are_a_flood_too(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        for _ in range(500):
            logs.write(line(clock, "x" * 10_000))
    assert sum(len(stored.message) for stored in sink.stored) < WAITING_CHARACTERS + 20_000
    assert [found.message.split(":")[0] for found in sink.stored if found.logger == "moorage"] == ["302 lines dropped"]


async def test_while_the_store_fails_lines_wait(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        sink.failure = OSError("disk full")
        logs.write(line(clock, "first"))
        with pytest.raises(OSError, match="disk full"):
            await logs.flush()
        for _ in range(WAITING_LINES):
            logs.write(line(clock))
        sink.failure = None
        await logs.flush()
    assert sink.stored[0].message == "first"
    assert len(sink.stored) == WAITING_LINES + 1
    assert [found.message.split(":")[0] for found in sink.stored if found.logger == "moorage"] == ["1 line dropped"]


async def test_the_oldest_lines_go_when_there_are_very_many(
    sink: Sink, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moorage.telemetry.logs.TRIM_EVERY", 50)
    async with opened(sink, clock) as logs:
        for _ in range(3):
            for name in ("churn", "other"):
                for _ in range(20 if name == "churn" else 5):
                    logs.write(line(clock, installation=name))
            await logs.flush()
    assert sink.trimmed == [("churn", LINES_KEPT)]


async def test_followers_see_lines_when_they_are_stored(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        mine, every = logs.subscribe("churn"), logs.subscribe()
        logs.write(line(clock, "mine"))
        logs.write(line(clock, "other", installation="other"))
        await logs.flush()
        async with asyncio.timeout(5):
            assert (await mine.__anext__()).id > 0
            assert {(await every.__anext__()).message, (await every.__anext__()).message} == {"mine", "other"}
    assert [found async for found in mine] == []


async def test_a_slow_follower_is_told_what_it_missed(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        slow = logs.subscribe(capacity=2)
        for number in range(5):
            logs.write(line(clock, str(number)))
    messages = [found.message async for found in slow]
    assert messages == ["3 lines not shown: this reader did not keep up. They are stored.", "3", "4"]


async def test_lines_below_the_level_are_not_taken(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        logs.set_level("churn", 30)
        logs.write(line(clock, "info"))
        logs.write(line(clock, "warning", level=30))
        logs.forget("churn")
        logs.write(line(clock, "again"))
    assert [stored.message for stored in sink.stored] == ["warning", "again"]


async def test_secrets_are_masked_everywhere(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        logs.set_secrets("churn", ["hunter22", "two\nlines"])
        logs.write(
            line(
                clock,
                "pass hun\x1b[0mter22",
                exception="Error: hunter22",
                logger="hunter22",
                fields={"key": ["hunter22"], "hunter22": 1, "n": 5},
            )
        )
        logs.write(line(clock, "hunter22", installation="other"))
        assert logs.plain("churn", "the hunter22") == "the [masked]"
    first, second = sink.stored
    assert (first.message, first.exception, first.logger) == ("pass [masked]", "Error: [masked]", "[masked]")
    assert first.fields == {"key": ["[masked]"], "[masked]": 1, "n": 5}
    assert second.message == "hunter22"


async def test_a_secret_at_the_cut_is_masked_whole(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        logs.set_secrets("churn", ["hunter22"])
        logs.write(line(clock, "x" * (TEXT_LIMIT - 4) + "hunter22"))
    assert "hunt" not in sink.stored[0].message


async def test_fields_of_any_type_and_size_are_bounded(sink: Sink, clock: Clock) -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd\x1b"

    async with opened(sink, clock) as logs:
        logs.write(line(clock, fields={"odd": Odd(), "at": clock()}))
        logs.write(line(clock, fields={"big": "x" * FIELDS_LIMIT}))
    assert sink.stored[0].fields == {"odd": "odd\\x1b", "at": clock()}
    assert "too many to keep" in sink.stored[1].fields["fields"]


async def test_a_naive_time_is_refused_at_the_door(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        with pytest.raises(ValueError, match="no zone"):
            logs.write(line(clock, time=clock().replace(tzinfo=None)))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 漢字 🎉\ttab\nline", "plain äöü 漢字 🎉\ttab\nline"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J\x1b[1;1H", "\\x1b[2J\\x1b[1;1H"),
        ("ok\rEVIL", "ok\\x0dEVIL"),
        ("a\r\nb", "a\nb"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("\u2066x\u2069\u200b\ufeff", "\\u2066x\\u2069\\u200b\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_escapes_are_shown_not_obeyed(text: str, shown: str) -> None:
    assert neutralise(text) == shown


@given(st.text(st.characters(exclude_categories=[]), max_size=30))
def test_what_was_made_harmless_is_harmless(text: str) -> None:
    plain = neutralise(text)
    assert neutralise(plain) == plain
    plain.encode()
    assert all(
        character in "\t\n" or character.isprintable() or ord(character) > 0xA0
        for character in plain
        if character != "\xa0"
    )


def test_a_cut_tells_how_much_is_gone() -> None:
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcdef [1 characters cut]"


def test_masking_prefers_the_longest_and_leaves_short_ones() -> None:
    masker = Masker(["abc", "abcd", "abcdef", "a.cd"])
    assert masker.text("abc abcd abcdef aXcd a.cd") == "abc [masked] [masked] aXcd [masked]"


def test_a_secret_is_masked_where_its_control_characters_are_escaped() -> None:
    masker = Masker(["pass\x07word"])
    assert masker.text(neutralise("it is pass\x07word!")) == "it is [masked]!"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("x" * 10 + "hunter", "x" * 10 + "[masked]"),
        ("x" * 10 + "hunter2!", "x" * 10 + "[masked]"),
        ("x hun", "x hun"),
        ("hunt er", "hunt er"),
        ("", ""),
    ],
)
def test_half_of_a_secret_at_a_cut_is_masked(text: str, masked: str) -> None:
    assert Masker(["hunter2!", "other secret"]).beginning(text) == masked


async def test_a_captured_line_that_was_cut_within_a_secret(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        logs.set_secrets("churn", ["correct horse"])
        logs.write(line(clock, f"{'x' * 100}correct ho{CUT_MARK}"))
        await logs.flush()
    assert sink.stored[0].message == f"{'x' * 100}[masked]{CUT_MARK}"


@pytest.mark.parametrize(
    "character", ["\0", "\x1b", "\x9b", "\x7f", "\u202e", "\u2066", "\u2064", "\u3164", "\xad", "\ufffb", "\U000e0041"]
)
def test_what_misleads_a_reader_is_written_as_its_escape(character: str) -> None:
    assert neutralise(f"a{character}b") == f"a{character.encode('unicode_escape').decode()}b"


async def test_a_flood_that_is_costly_to_show_holds_nobody_up(sink: Sink, clock: Clock) -> None:
    """Each letter of it becomes four, and all of them are looked through for very many secrets."""
    own = ["\n".join(f"{number:04}{index:04}{'x' * 12}" for index in range(64)) for number in range(32)]
    async with opened(sink, clock) as logs:
        logs.set_secrets("churn", own)
        logs.write(line(clock, "the first one makes what they are looked for with"))
        began = time.process_time()
        for _ in range(20):
            logs.write(line(clock, "\x01" * 2_000_000))
        taken = time.process_time() - began
        await logs.flush()
    kept = [stored for stored in sink.stored if stored.message.startswith("\\x01")]
    assert taken < 0.1
    assert 0 < len(kept) <= 2
    assert len(kept[0].message) < TEXT_LIMIT + 100


async def test_a_cut_leaves_no_half_of_a_secret(sink: Sink, clock: Clock) -> None:
    async with opened(sink, clock) as logs:
        logs.set_secrets("churn", ["correct horse battery"])
        for place in range(TEXT_LIMIT - 21, TEXT_LIMIT + 1):
            logs.write(line(clock, "." * place + "correct horse battery" + "." * 50))
        await logs.flush()
    assert not any("corr" in stored.message for stored in sink.stored)
    assert "." * (TEXT_LIMIT - 21) + "[masked] [50 characters cut]" in [stored.message for stored in sink.stored]
