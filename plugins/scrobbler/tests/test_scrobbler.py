from datetime import datetime

import pytest
from jukebox_models import Play, User
from scrobbler.spelling import canonical
from scrobbler.statistics import Options, execute, favourites

from moorage_sdk.errors import CapabilityMissing


def play(user_id: int, artist: str, hour: int = 8) -> Play:
    return Play(
        user_id=user_id, played_at=datetime(2026, 9, 1, hour), artist=artist, track="Track", album="Album", year=1999
    )


@pytest.fixture
def history(moorage):
    moorage.sql.add(User(id=1, name="Ada"), User(id=2, name="Grace"))
    moorage.sql.add(play(1, "Björk"), play(1, "Bjork"), play(1, "Björk"), play(2, "The Cure", hour=21), play(2, "Can"))
    return moorage


def test_counts_plays_by_artist_whatever_the_spelling(history):
    result = history.run(execute, Options(top=2)).result

    assert (result.plays, result.listeners, result.artists, result.busiest_hour) == (5, 2, 3, 8)
    assert [(one.artist, one.plays) for one in result.favourites] == [("Björk", 3), ("The Cure", 1)]
    assert history.kafka.values("plugin-topic") == ["Scrobbled 5 plays; most played: Björk".encode()]


def test_keeps_its_statistics_in_its_own_tables(history):
    history.run(execute)

    rows = history.sql.rows("SELECT user, artist, plays FROM scrobbler_artist_plays ORDER BY plays DESC, artist")
    assert rows[0] == ("Ada", "Björk", 3)
    assert [one.artist for one in history.run(favourites, Options(top=1)).result] == ["Björk"]


def test_running_again_replaces_rather_than_adds(history):
    first = history.run(execute).result

    assert history.run(execute).result == first


def test_without_its_grant_it_creates_no_tables(history):
    history.deny("sql.define:scrobbler_*")

    error = history.run(execute).error

    assert isinstance(error, CapabilityMissing)
    assert error.capability.startswith("sql.define:scrobbler_")
    assert history.sql.rows("SELECT name FROM sqlite_master WHERE name LIKE 'scrobbler%'") == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Beyoncé", "Beyoncé", "Beyonce"], {"Beyoncé"}),
        (["Simon & Garfunkel", "Simon and Garfunkel"], {"Simon & Garfunkel"}),
        (["Can", "Caetano Veloso"], {"Can", "Caetano Veloso"}),
        (["The The"], {"The The"}),
    ],
)
def test_spellings(names, expected):
    chosen = canonical(names)

    assert {chosen[name] for name in names} == expected
