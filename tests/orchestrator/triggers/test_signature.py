import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from moorage.orchestrator.triggers.signature import TOLERANCE, Form, sign, verified

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
BODY = b'{"number": 7}'
SECRET = "It's a Secret to Everybody"


def ours(value: str, *, secrets=(SECRET,), body=BODY, now=NOW) -> str | None:
    return verified(Form.MOORAGE, {"moorage-signature": value}, body, secrets, now)


def github(value: str, body: bytes = BODY, secrets=(SECRET,)) -> str | None:
    return verified(Form.GITHUB, {"x-hub-signature-256": value}, body, secrets, NOW)


def test_what_was_signed_is_known_again():
    assert ours(sign(SECRET, BODY, NOW))


@pytest.mark.parametrize("away", [TOLERANCE, -TOLERANCE])
def test_clocks_may_differ_by_the_tolerance_and_no_more(away):
    signed = sign(SECRET, BODY, NOW)
    assert ours(signed, now=NOW + away)
    assert not ours(signed, now=NOW + away * 1.01)


def test_github_s_own_example():
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    example = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert github(example, b"Hello, World!")
    assert not github(example, b"Hello, World")


@pytest.mark.parametrize(
    ("secrets", "is_right"),
    [((SECRET, "old"), True), (("new", SECRET), True), (("new", "old"), False), ((), False), (("",), False)],
)
def test_one_of_several_secrets(secrets, is_right):
    assert bool(ours(sign(SECRET, BODY, NOW), secrets=secrets)) is is_right


def test_senders_that_change_secrets_sign_with_both():
    first, second = sign("new", BODY, NOW), sign(SECRET, BODY, NOW)
    assert ours(f"{first},{second.partition(',')[2]}")


DIGEST = sign(SECRET, BODY, NOW).partition("v1=")[2]
SECONDS = int(NOW.timestamp())


@pytest.mark.parametrize(
    "value",
    [
        "",
        "t=,v1=",
        f"v1={DIGEST}",
        f"t={SECONDS}",
        f"t={SECONDS},v1={DIGEST[:-1]}",
        f"t={SECONDS},v1={DIGEST}0",
        f"t={SECONDS},v0={DIGEST}",
        f"t={SECONDS},t={SECONDS},v1={DIGEST}",
        f"t={SECONDS + 1},v1={DIGEST}",
        f"t=+{SECONDS},v1={DIGEST}",
        f"t={'9' * 11},v1={DIGEST}",
        f"t={'9' * 30},v1={DIGEST}",
        f"t={SECONDS},v1=é{DIGEST[1:]}",
        f"t={SECONDS}," + "v1=00," * 10_000 + f"v1={DIGEST}",
    ],
)
def test_what_is_malformed_is_refused(value):
    assert ours(value) is None


@pytest.mark.parametrize("value", ["", "sha256=", "sha1=" + "0" * 40, "0" * 64])
def test_of_github_s_form_too(value):
    assert github(value) is None


def test_forms_are_not_taken_for_each_other():
    digest = hmac.digest(SECRET.encode(), BODY, hashlib.sha256).hex()
    assert github(f"sha256={digest}")
    assert not ours(f"t={SECONDS},v1={digest}")


def test_a_changed_body_or_time_is_refused():
    assert not ours(sign(SECRET, BODY, NOW), body=BODY + b" ")
    assert not ours(sign(SECRET, BODY, NOW - timedelta(hours=1)))
