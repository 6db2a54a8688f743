"""What rights and combinations of rights are called in front of the person who grants them."""

from __future__ import annotations

import pytest

from moorage.models.dangers import dangers, is_broad
from moorage.models.rights import _BACKENDS, sentence
from moorage_proto.capability import BACKEND_SERVICES, parse


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sql.read:users", "It reads the table users."),
        ("sql.read:users(id)", "It reads the column id of the table users."),
        ("sql.read:analytics/**", "It reads every table of the database analytics."),
        ("sql.read:log_*", "It reads every table whose name fits log_*."),
        ("sql.write:users", "It adds, changes and deletes rows of the table users."),
        ("sql.write:users(name,mail)", "It changes the columns name, mail of the table users."),
        ("sql.define:*/**", "It creates, alters and drops every table of every database."),
        ("redis.read:cache:**", "It reads every key whose name fits cache:**."),
        ("redis.write:cache:hits", "It writes and deletes the key cache:hits."),
        ("redis.publish:plays", "It publishes to the channel plays."),
        ("redis.subscribe:plays", "It receives what is published to the channel plays."),
        ("redis.script:**", "It runs every Lua script and function."),
        ("redis.consume:orders", "It is run for what is added to the stream orders."),
        ("kafka.consume:orders", "It is run for the messages of the topic orders."),
        ("kafka.consume:analytics/**", "It is run for the messages of every topic of the Kafka cluster analytics."),
        (
            "executions.follow:geo-*",
            "It is run when executions end, and is told their outcomes and results: those of every installation whose"
            " name fits geo-*.",
        ),
        ("kafka.produce:plugin-topic", "It sends messages to the topic plugin-topic."),
        ("kafka.produce:*/plays", "It sends messages to the topic plays of every Kafka cluster."),
        ("servicebus.send:orders", "It sends messages to the queue or topic orders."),
        ("servicebus.receive:orders", "It takes messages from the queue or subscription orders."),
        ("http.post:https://ws.audioscrobbler.com/2.0/", "It makes HTTP POST requests to https://ws.audioscrobbler.com/2.0/."),
        ("http.get:**", "It makes HTTP GET requests to every address that the host's machine reaches."),
        (
            "net.connect:api.stripe.com:443",
            "It opens network connections to api.stripe.com:443, and what it sends there the host does not see.",
        ),
        ("events.publish:track.played", "It publishes the event track.played on the host's bus."),
        ("events.subscribe:track.*", "It receives every event whose name fits track.* on the host's bus."),
        ("events.request:price", "It asks other plugins the question price."),
        ("events.reply:price", "It answers the question price of other plugins."),
        ("storage.use:64MiB", "It keeps files of its own, up to 64MiB."),
        ("secrets.read:LASTFM_KEY", "It reads the secret LASTFM_KEY of this installation."),
        (
            "secrets.use:API_KEY",
            "The host puts the secret API_KEY of this installation into headers of its requests; it does not see it"
            " itself.",
        ),
        (
            "net.private:wiki.example.com",
            "It reaches the host wiki.example.com also where that is a private address: of this machine, or of the"
            " networks that it is in.",
        ),
        ("secrets.write:SESSION", "It writes the secret SESSION of this installation."),
        ("config.read:**", "It reads every setting of its own."),
        ("config.read:greeting", "It reads the setting greeting of its own."),
        ("files.read:/srv/a", "It reads the file /srv/a of this machine, and can pass on what it has read."),
    ],
)  # fmt: skip
def test_every_verb_has_its_sentence(text: str, words: str) -> None:
    assert sentence(parse(text)) == words


def test_an_application_gives_the_sentences_of_its_own_verbs() -> None:
    right = parse("billing.charge:c-*")

    assert sentence(right, {"billing.charge": "It charges {resource}."}) == "It charges c-*."
    assert "what this host's application calls billing.charge" in sentence(right)


def test_every_service_with_backends_has_its_verbs_in_the_table() -> None:
    assert {verb.partition(".")[0] for verb in _BACKENDS} == BACKEND_SERVICES


@pytest.mark.parametrize(
    ("text", "broad"),
    [
        ("sql.read:**", True), ("sql.read:*", True), ("sql.read:users", False), ("sql.read:analytics/**", True),
        ("sql.read:user*", False), ("files.read:/srv/**", True), ("files.read:/srv/a", False),
        ("http.get:**", True), ("http.get:https://**", True), ("http.get:https://*/x", True),
        ("http.get:https://*.example.com/**", False),
        ("http.get:https://**.com/**", True), ("net.connect:*.com:443", True),
        ("http.get:https://example.com/**", False),
        ("sql.read:*e*", True), ("redis.read:**:**", True), ("redis.read:a*", True), ("redis.read:a", False),
        ("redis.read:cache:**", False), ("kafka.produce:id*", False), ("secrets.read:*_*", True),
        ("net.connect:1**:443", True), ("net.connect:**m:443", True), ("net.connect:db-*:5432", False),
        ("net.connect:**.example.com:443", False), ("net.connect:api-*.example.com:443", False),
        ("net.connect:**", True), ("net.connect:*:443", True), ("net.connect:example.com:*", False),
        ("secrets.read:*", True), ("secrets.read:KEY", False), ("sandbox.proc", False),
    ],
)  # fmt: skip
def test_what_is_broad(text: str, broad: bool) -> None:
    assert is_broad(parse(text)) is broad


@pytest.mark.parametrize(
    ("texts", "begins"),
    [
        (["sql.read:**", "http.post:**"], ["sql.read:** with http.post:**: It can send all that it reads to anybody."]),
        (["sql.read:**", "net.connect:*:443"], ["net.connect:*:443: ", "sql.read:** with net.connect:*:443: "]),
        (
            ["secrets.read:KEY", "http.post:https://example.com/"],
            ["secrets.read:KEY with http.post:https://example.com/: It can send these secrets there."],
        ),
        (
            ["secrets.use:KEY", "http.post:https://**"],
            ["secrets.use:KEY with http.post:https://**: It can have these secrets sent to anybody."],
        ),
        (["net.private:**"], ["net.private:**: "]),
        (["sql.write:**"], ["sql.write:**: "]),
        (["sql.define:**"], ["sql.define:**: "]),
        (["redis.script:cache:*"], ["redis.script:cache:*: "]),
        (["sandbox.device:/dev/dri/card0"], ["sandbox.device:/dev/dri/card0: "]),
        (["files.read:/srv/**", "http.get:**"], ["files.read:/srv/**: ", "files.read:/srv/** with http.get:**: "]),
    ],
)
def test_dangers_are_named(texts: list[str], begins: list[str]) -> None:
    found = dangers(map(parse, texts))

    assert len(found) == len(begins)
    assert all(told.startswith(begin) for told, begin in zip(found, begins, strict=True))


@pytest.mark.parametrize(
    "texts",
    [
        ["sql.read:users", "http.post:**"],
        ["sql.read:**", "http.post:https://example.com/**"],
        ["sql.read:**", "kafka.produce:plugin-topic"],
        ["sql.write:plays", "redis.write:cache:**"],
        ["secrets.read:KEY", "secrets.write:KEY"],
        ["secrets.use:KEY", "http.post:https://example.com/**"],
    ],
)
def test_what_is_ordinary_is_not_called_dangerous(texts: list[str]) -> None:
    assert dangers(map(parse, texts)) == ()
