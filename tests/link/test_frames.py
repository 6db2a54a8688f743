from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_proto import error_pb2, link_pb2
from moorage_proto.errors import CallError, Reason, Status, from_wire
from moorage_proto.link import LinkLimits, frames
from moorage_proto.link.failures import Violation

LIMITS = LinkLimits()


def test_joined_batches_are_one_batch():
    joined = frames.call(1, "/a/B", b"req", "e-1", 250, "00-x") + frames.reply(2, b"r", more=True) + frames.pong(3)
    call, reply, pong = frames.decode(joined, LIMITS)
    assert call == link_pb2.Frame(
        call_id=1,
        call=link_pb2.Call(method="/a/B", request=b"req", scope="e-1", deadline_ms=250, traceparent="00-x"),
    )
    assert reply == link_pb2.Frame(call_id=2, reply=b"r", more=True)
    assert pong.pong.nonce == 3


@given(st.text(), st.text(), st.integers(0, 30000))
def test_an_error_always_fits_into_a_frame(message, capability, length):
    failure = CallError(
        Status.INTERNAL,
        Reason.TASK_FAILED,
        message * 50 + "é" * length,
        capability=capability,
        task=error_pb2.TaskFailure(type="x.Y", traceback="\U0001f600" * length + "end"),
    )
    encoded = frames.error(1, failure)
    assert len(encoded) <= LIMITS.max_frame_bytes
    found = from_wire(frames.decode(encoded, LIMITS)[0].error)
    assert found.reason == Reason.TASK_FAILED
    assert found.task.traceback.endswith("end")


def test_text_that_utf8_cannot_carry_is_replaced():
    encoded = frames.error(1, CallError(Status.INTERNAL, Reason.INTERNAL, "a\udc80b"))
    assert frames.decode(encoded, LIMITS)[0].error.message == "a?b"


def test_a_batch_over_the_bound_is_a_violation():
    with pytest.raises(Violation, match=r"a batch of 262,145 bytes arrived, and the bound is 262,144"):
        frames.decode(bytes(LIMITS.max_batch_bytes + 1), LIMITS)


def test_a_frame_over_the_bound_is_a_violation():
    fits = link_pb2.Frame(call_id=2, reply=b"x" * (LIMITS.max_frame_bytes - 8))
    assert fits.ByteSize() <= LIMITS.max_frame_bytes
    frames.decode(frames.single(fits), LIMITS)
    with pytest.raises(Violation, match="a frame of"):
        frames.decode(frames.single(link_pb2.Frame(call_id=2, reply=b"x" * LIMITS.max_frame_bytes)), LIMITS)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_frames_or_a_violation(data):
    with contextlib.suppress(Violation):
        assert all(isinstance(frame, link_pb2.Frame) for frame in frames.decode(data, LIMITS))
