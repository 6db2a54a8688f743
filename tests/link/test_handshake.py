from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto import link_pb2
from moorage_proto.errors import CallError, Reason
from moorage_proto.link import LinkLimits, frames, handshake
from moorage_proto.link.failures import Violation
from moorage_proto.link.limits import from_wire, to_wire

LIMITS = LinkLimits()


@pytest.mark.parametrize(
    ("offered", "spoken", "expected"), [([1], (1,), 1), ([1, 2, 3], (2, 1), 2), ([3, 2, 2], (5, 4, 3, 2), 3)]
)
def test_the_highest_common_version_is_spoken(offered, spoken, expected):
    assert handshake.common_version(offered, spoken) == expected


@pytest.mark.parametrize(
    ("offered", "spoken", "remedy"),
    [
        ([], (1,), "upgrade the plugin's moorage-sdk"),
        ([1, 2], (4, 3), "the worker speaks protocol versions 1, 2 and this host 3, 4"),
        ([1, 2], (4, 3), "upgrade the plugin's moorage-sdk"),
        ([7], (2, 1), "upgrade the host"),
    ],
)
def test_no_common_version_says_what_to_upgrade(offered, spoken, remedy):
    with pytest.raises(CallError) as caught:
        handshake.common_version(offered, spoken)
    assert caught.value.reason == Reason.PROTOCOL_UNSUPPORTED
    assert remedy in caught.value.message


def test_limits_cross_the_wire():
    limits = LinkLimits(
        max_frame_bytes=1000, max_message_bytes=9, initial_credit_bytes=8, max_lanes=7, max_open_calls=6
    )
    assert from_wire(to_wire(limits)) == limits
    assert from_wire(link_pb2.Limits()) == LIMITS


def test_the_worker_reads_welcome_refusal_and_nonsense():
    welcome = link_pb2.Welcome(protocol_version=1, installation="churn")
    assert handshake.read_welcome(handshake.welcome(welcome), LIMITS) == welcome
    with pytest.raises(CallError, match="the token was used before") as caught:
        handshake.read_welcome(frames.error(0, handshake.token_invalid("the token was used before")), LIMITS)
    assert caught.value.reason == Reason.TOKEN_INVALID
    with pytest.raises(CallError) as caught:
        handshake.read_welcome(handshake.welcome(link_pb2.Welcome(protocol_version=9)), LIMITS)
    assert caught.value.reason == Reason.PROTOCOL_UNSUPPORTED
    with pytest.raises(Violation, match="kind pong"):
        handshake.read_welcome(frames.pong(1), LIMITS)


@pytest.mark.parametrize("data", [b"", frames.pong(1) + frames.pong(2), frames.reply(1, b""), b"\xff"])
def test_a_stream_begins_with_one_whole_frame_of_the_link(data):
    with pytest.raises(Violation):
        handshake.first_frame(data, LIMITS)


@given(st.binary(max_size=200))
def test_arbitrary_first_bytes_are_a_frame_or_a_violation(data):
    with contextlib.suppress(Violation):
        assert handshake.first_frame(data, LIMITS).call_id == 0
