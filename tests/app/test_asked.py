"""What a new version asks for is told as a difference, in plain sentences."""

from __future__ import annotations

from dataclasses import replace

from moorage.app.asked import changes
from moorage.app.installer import unknown_verbs
from moorage.app.reloading import GrantsMissing
from moorage.models.manifest import Manifest, RequestedCapability
from moorage_proto.capability import UNCALLED_VERBS, parse


def manifest(version: str, *required: str, optional: tuple[str, ...] = ()) -> Manifest:
    requests = [RequestedCapability(parse(text), f"for {text}", True) for text in required]
    requests += [RequestedCapability(parse(text), f"for {text}", False) for text in optional]
    return Manifest("churn", version, "churn.plugin:plugin", capabilities=tuple(requests))


def test_the_difference_between_two_versions() -> None:
    before = manifest("1.0.0", "sql.read:users", "sql.read:plays", "config.read:a", optional=("kafka.produce:x",))
    after = manifest("2.0.0", "sql.read:users", "sql.write:plays", optional=("config.read:*", "billing.charge:c"))

    assert changes("churn", before, after, {"billing.charge": "It charges {resource}."}) == (
        "+ 2.0.0 requires sql.write:plays. It adds, changes and deletes rows of the table plays. "
        "Because: for sql.write:plays",
        "+ 2.0.0 can use config.read:*. It reads every setting whose name fits * of its own. "
        "Because: for config.read:*",
        "+ 2.0.0 can use billing.charge:c. It charges c. Because: for billing.charge:c",
        "- sql.read:plays is not asked for any more. Where it was granted: moorage revoke churn 'sql.read:plays'",
        "- kafka.produce:x is not asked for any more. Where it was granted: moorage revoke churn 'kafka.produce:x'",
    )


def test_what_becomes_required_is_told() -> None:
    before = manifest("1.0.0", "config.read:b", optional=("config.read:a",))
    after = manifest("1.1.0", "config.read:a", optional=("config.read:b",))

    assert changes("churn", before, after, {}) == (
        "~ config.read:a is required now: for config.read:a",
        "~ config.read:b is optional now: for config.read:b",
    )


def test_the_same_capabilities_are_no_difference() -> None:
    first = manifest("1.0.0", "sql.read:users", optional=("config.read:a",))
    assert changes("churn", first, replace(first, version="1.0.1"), {}) == ()


def test_a_reload_that_is_refused_says_what_each_missing_right_means() -> None:
    missing = manifest("2.0.0", "sql.write:plays").capabilities
    text = str(GrantsMissing("churn", "2.0.0", missing))
    assert "\n    + sql.write:plays. It adds, changes and deletes rows of the table plays. Because: for" in text
    assert text.endswith("moorage reload churn --grant 'sql.write:plays'")


def test_verbs_that_nobody_knows_are_told_and_the_host_s_own_are_known() -> None:
    own = ("net.connect:example.com:443", "sandbox.subprocess", "events.reply:price.quote")
    asked = manifest("1.0.0", "sql.raed:users", *own, "my.thing:a")

    wrong, foreign = unknown_verbs(asked, frozenset({"sql.read", "sql.write"}))

    assert wrong == ("churn asks for sql.raed:users, and no service of this host knows it; did you mean sql.read?")
    assert foreign.startswith(
        "churn asks for my.thing:a, and no service of this host knows it; It knows: events.reply,"
    )
    assert unknown_verbs(manifest("1.0.0", "sql.read:users"), frozenset({"sql.read"})) == ()
    assert "storage.use" in UNCALLED_VERBS
