from datetime import datetime

from jukebox_models import Play, User
from legacy_report.plugin import execute


def play(year):
    return Play(user_id=1, played_at=datetime(2026, 9, 1), artist="Artist", track="Track", album="Album", year=year)


def test_counts_plays_by_decade(moorage):
    moorage.sql.add(User(id=1, name="Ada"), play(1969), play(1972), play(1977))

    result = moorage.run(execute).result

    assert result.plays == {"1960s": 1, "1970s": 2}
    assert (result.oldest, result.newest) == (1969, 1977)
    assert moorage.kafka.values("plugin-topic") == [b"Decades: 1960s 1, 1970s 2"]


def test_runs_with_the_libraries_of_its_own_lock(moorage):
    libraries = moorage.run(execute).result.libraries

    assert libraries["pydantic"].startswith("1.")
    assert libraries["sqlalchemy"].startswith("1.4.")
    assert libraries["protobuf"].startswith("3.20.")
