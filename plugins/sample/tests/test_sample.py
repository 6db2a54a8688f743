from datetime import datetime

from jukebox_models import Play, User
from sample.plugin import Report, execute

from moorage_sdk.errors import CapabilityMissing


def test_counts_users_and_tells_kafka(moorage):
    moorage.sql.add(User(name="Ada"), User(name="Grace"))

    run = moorage.run(execute)

    assert run.result == Report(users=2, plays=0, partition=0, offset=0)
    assert moorage.kafka.values("plugin-topic") == [b"User count: 2"]


def test_greets_as_configured(moorage):
    moorage.config["greeting"] = "Moin"

    run = moorage.run(execute)

    assert "Moin! There are 0 users." in [line.message for line in run.logs]


def test_counts_plays_only_where_that_is_granted(moorage):
    moorage.sql.add(
        User(name="Ada"),
        Play(
            user_id=1, played_at=datetime(2026, 9, 1), artist="Can", track="Halleluhwah", album="Tago Mago", year=1971
        ),
    )
    assert moorage.run(execute).result.plays == 1

    moorage.deny("sql.read:plays")

    assert moorage.run(execute).result.plays is None


def test_without_the_topic_nothing_is_sent(moorage):
    moorage.deny("kafka.produce:plugin-topic")

    error = moorage.run(execute).error

    assert isinstance(error, CapabilityMissing)
    assert error.capability == "kafka.produce:plugin-topic"
    assert moorage.kafka.values("plugin-topic") == []
