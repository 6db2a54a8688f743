"""What plugins write is printed as text: no control character, no markup, no order of letters of its own."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from moorage.cli.plain import lines, one_line

HOSTILE = "[red]\x1b[31m\x1b]0;owned\x07\u202egnp.exe\x9b2J\r\x00\u2028[/red]:smile:\x08"


@given(st.text())
def test_a_line_holds_only_what_can_be_seen(text):
    shown = one_line(text)
    assert all(character.isprintable() or character in "\u200c\u200d\xa0" for character in shown)
    assert len(one_line(text).splitlines()) <= 1


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_ordinary_text_stays_as_it_is(text):
    assert one_line(text) == text
    assert lines(text) == text


def test_lines_keep_their_ends_and_lose_the_rest():
    assert lines("a\tb\r\nc\rd\x1b") == "a   b\nc\\rd\\x1b"


def is_clean(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


def test_every_page_is_clean(moorage, host):
    def hostile(_value):
        raise ValueError(HOSTILE)

    plugin = host.add(
        "evil",
        tasks={"execute": hostile, "echo": lambda value: value},
        description=HOSTILE,
        license=HOSTILE,
        tags=frozenset({HOSTILE}),
    )
    plugin.installation = replace(
        plugin.installation, manifest=replace(plugin.installation.manifest, version=HOSTILE, urls={HOSTILE: HOSTILE})
    )
    host.log("evil", HOSTILE, fields={HOSTILE: HOSTILE}, exception=HOSTILE)
    host.broken_plugins = [replace(host.broken_plugins[0], problem=HOSTILE)]
    pages = [
        ("ls",), ("show", "evil"), ("run", "evil"), ("run", "evil", "echo", "-i", json.dumps(HOSTILE)),
        ("executions",), ("execution", "e-1"), ("logs",), ("audit",), ("stop", "evil", "--hold", HOSTILE),
        ("start", "evil"), ("show", HOSTILE), ("grant", "evil", HOSTILE),
    ]  # fmt: skip
    for page in pages:
        result = moorage(*page)
        assert is_clean(result.stdout), page
        assert is_clean(result.stderr), page
        assert result.output
    assert "[red]\\x1b[31m" in moorage("show", "evil").stdout
    assert ":smile:" in moorage("logs").stdout


def test_a_log_message_cannot_pass_for_another_entry(moorage, host):
    host.log("evil", "harmless\n12:00:09 INFO    churn   all is well")
    assert moorage("logs").stdout.splitlines()[1].startswith("    12:00:09")


def test_json_is_ascii(moorage, host):
    host.log("evil", HOSTILE)
    result = moorage("logs", "--json")
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout
    assert json.loads(result.stdout)["items"][-1]["message"] == HOSTILE
