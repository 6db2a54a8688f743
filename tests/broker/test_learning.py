"""From what a plugin needed to the smallest manifest, and the grants that let it need everything."""

from __future__ import annotations

import threading

import pytest
import tomllib
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto.capability import ROWS_ALONE, Capability, Grants, need, parse
from moorage_proto.learning import MANY, SAY_WHY, Learnt, Request, lesson, open_grants


def learnt(*needs: Capability, requests: tuple[Request, ...] = ()) -> list[str]:
    return [str(entry.right) for entry in lesson(needs, requests).entries]


def test_each_thing_used_is_one_entry_and_nothing_more() -> None:
    assert learnt(
        need("sql.read", "users", columns=["name"]),
        need("sql.read", "users", columns=["id"]),
        need("sql.read", "users", columns=ROWS_ALONE),
        need("sql.read", "plays", backend="analytics", columns=["id"]),
        need("kafka.produce", "plugin-topic"),
        need("http.post", "https://example.com/hook"),
    ) == [
        "http.post:https://example.com/hook",
        "kafka.produce:plugin-topic",
        "sql.read:analytics/plays(id)",
        "sql.read:users(id,name)",
    ]


def test_all_columns_are_all_columns() -> None:
    assert learnt(need("sql.write", "users"), need("sql.write", "users", columns=["name"])) == ["sql.write:users"]


def test_rows_that_were_only_counted_take_a_note() -> None:
    (line,) = lesson([need("sql.read", "users", columns=ROWS_ALONE)]).lines[1:-1]
    assert line.startswith('  { allow = "sql.read:users", because = "..." },  # its rows were only counted')


def test_reasons_come_from_the_manifest_and_what_is_unused_is_named() -> None:
    requests = (
        Request(parse("sql.read:**"), "counts users", required=True),
        Request(parse("kafka.produce:plugin-*"), "publishes", required=False),
        Request(parse("secrets.read:KEY"), "signs", required=True),
    )
    found = lesson(
        [
            need("sql.read", "users", columns=["id"]),
            need("kafka.produce", "plugin-topic"),
            need("config.read", "greeting"),
        ],
        requests,
    )
    assert found.lines == [
        "required = [",
        f'  {{ allow = "config.read:greeting", because = "{SAY_WHY}" }},',
        '  { allow = "sql.read:users(id)", because = "counts users" },',
        "]",
        "optional = [",
        '  { allow = "kafka.produce:plugin-topic", because = "publishes" },',
        "]",
        "# asked for, and not used: secrets.read:KEY",
    ]
    assert tomllib.loads("\n".join(found.lines))["optional"][0]["allow"] == "kafka.produce:plugin-topic"


def test_very_many_names_become_one_entry_that_says_so() -> None:
    keys = [need("redis.read", f"cache:user:{number}") for number in range(MANY)]
    few = [need("redis.write", f"cache:user:{number}") for number in range(MANY - 1)]

    found = lesson([*keys, *few])

    assert str(found.entries[0].right) == "redis.read:cache:user:**"
    assert found.entries[0].note == f"in place of {MANY} names, such as redis.read:cache:user:0"
    assert len(found.entries) == MANY
    assert learnt(*(need("kafka.produce", f"topic{number}") for number in range(50))) == sorted(
        f"kafka.produce:topic{number}" for number in range(50)
    )


def test_patterns_that_were_asked_for_stand_for_the_names_in_them() -> None:
    assert learnt(
        need("redis.subscribe", "news.*", wild=True),
        need("redis.subscribe", "news.a"),
        need("redis.subscribe", "other"),
    ) == ["redis.subscribe:news.*", "redis.subscribe:other"]


@pytest.mark.parametrize("name", ["*", "a b", "tab\t", "\u202eevil", "x/y(z)"])
def test_what_no_entry_can_name_is_told_and_harmless(name: str) -> None:
    found = lesson([need("sql.read", name)])

    assert found.entries == ()
    assert all(line.isprintable() for line in found.lines)
    assert found.lines[0].startswith("# no entry can name what was used as sql.read:")


def test_what_no_use_shows_stays_in_the_manifest() -> None:
    requests = (
        Request(parse("storage.use:64MiB"), "keeps a cache", required=True),
        Request(parse("sandbox.subprocess"), "runs ffmpeg", required=False),
        Request(parse("events.reply:price.*"), "quotes", required=True),
    )
    assert lesson([], requests).lines == [
        "required = [",
        '  { allow = "storage.use:64MiB", because = "keeps a cache" },  # kept: whether it is used cannot be seen here',
        "]",
        "optional = [",
        '  { allow = "sandbox.subprocess", because = "runs ffmpeg" },  # kept: whether it is used cannot be seen here',
        "]",
        "# asked for, and not used: events.reply:price.*",
    ]


def test_topics_of_subscriptions_and_handlers_are_patterns() -> None:
    assert learnt(need("events.subscribe", "track.playing"), need("events.subscribe", "track.*")) == [
        "events.subscribe:track.*"
    ]


def test_nothing_used_is_said() -> None:
    assert lesson([]).lines == ["# no capability was used"]


_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_needs = st.builds(
    lambda verb, name, columns: need(verb, name, columns=columns if verb.startswith("sql") else ()),
    st.sampled_from(["sql.read", "sql.write", "kafka.produce", "config.read", "secrets.read"]),
    _names,
    st.lists(st.sampled_from(["id", "name", "mail"]), max_size=2, unique=True).map(tuple),
)


@given(st.sets(_needs, max_size=20))
def test_with_the_entries_the_same_plugin_passes(needs: set[Capability]) -> None:
    found = lesson(needs)
    document = tomllib.loads("\n".join(found.lines))
    granted = Grants(tuple(parse(entry["allow"]) for entry in document.get("required", ())))
    unnameable = {(each.verb, each.resource) for each in found.unnameable}
    for each in needs:
        assert granted.decide(each).allowed or (each.verb, each.resource) in unnameable


def test_open_grants_allow_what_is_not_denied() -> None:
    grants = open_grants(Grants((), (parse("sql.read:cards"),), epoch=3), {"sql.read", "config.read", "sql.write"})

    assert grants.epoch == 3
    assert grants.decide(need("sql.read", "users")).allowed
    assert not grants.decide(need("sql.read", "cards")).allowed
    assert grants.touch("sql.write", "analytics")
    assert grants.covering(need("config.read", "a")) == (need("config.read", "a"),)
    # What workers are told, so that what is optional is injected; of a verb that is denied, what was granted alone.
    assert [str(right) for right in grants.allow] == ["config.read:**", "sql.write:**/**"]
    assert all(parse(str(right)) == right for right in grants.allow)


def test_what_is_learnt_is_bounded_and_comes_from_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage_proto.learning.MAX_LEARNT", 10)
    notes = Learnt()
    threads = [
        threading.Thread(target=lambda: [notes.note(need("sql.read", str(number))) for number in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert (len(notes.needs), notes.overflowed) == (10, True)
