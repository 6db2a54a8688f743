"""Frames as bytes. Each function returns a serialised Batch of one frame.

Concatenated, serialised Batches are one Batch (protobuf's rule for repeated fields), so the writer joins what waits
without encoding it again, and queues know their exact sizes.
"""

from __future__ import annotations

from typing import Sequence

from google.protobuf.message import DecodeError

from moorage_proto import error_pb2, link_pb2
from moorage_proto.errors import CallError, to_wire
from moorage_proto.link.failures import Violation
from moorage_proto.link.limits import FRAME_OVERHEAD_BYTES, LinkLimits

#: Longest texts of an error, in characters, so that it always fits into a frame.
_MAX_MESSAGE = 2000
_MAX_TRACEBACK = 8000
_MAX_NAME = 500


def call(
    call_id: int, method: str, request: bytes, scope: str, deadline_ms: int, traceparent: str, *, more: bool = False
) -> bytes:
    batch = link_pb2.Batch()
    frame = batch.frames.add()
    frame.call_id = call_id
    if more:
        frame.more = True
    body = frame.call
    body.method = method
    body.request = request
    if scope:
        body.scope = scope
    if deadline_ms:
        body.deadline_ms = deadline_ms
    if traceparent:
        body.traceparent = traceparent
    return batch.SerializeToString()


def reply(call_id: int, data: bytes, *, more: bool = False) -> bytes:
    batch = link_pb2.Batch()
    frame = batch.frames.add()
    frame.call_id = call_id
    frame.reply = data
    if more:
        frame.more = True
    return batch.SerializeToString()


def item(call_id: int, data: bytes, *, more: bool = False) -> bytes:
    batch = link_pb2.Batch()
    frame = batch.frames.add()
    frame.call_id = call_id
    frame.item = data
    if more:
        frame.more = True
    return batch.SerializeToString()


def chunk(call_id: int, data: bytes, *, more: bool = False) -> bytes:
    batch = link_pb2.Batch()
    frame = batch.frames.add()
    frame.call_id = call_id
    frame.chunk = data
    if more:
        frame.more = True
    return batch.SerializeToString()


def error(call_id: int, failure: CallError) -> bytes:
    return single(link_pb2.Frame(call_id=call_id, error=_bounded(failure)))


def cancel(call_id: int) -> bytes:
    return single(link_pb2.Frame(call_id=call_id, cancel=link_pb2.Cancel()))


def credit(call_id: int, size: int) -> bytes:
    return single(link_pb2.Frame(call_id=call_id, credit=link_pb2.Credit(bytes=size)))


def end(call_id: int) -> bytes:
    return single(link_pb2.Frame(call_id=call_id, end=link_pb2.End()))


def ping(nonce: int) -> bytes:
    return single(link_pb2.Frame(ping=link_pb2.Ping(nonce=nonce)))


def pong(nonce: int) -> bytes:
    return single(link_pb2.Frame(pong=link_pb2.Pong(nonce=nonce)))


def go_away(reason: str) -> bytes:
    return single(link_pb2.Frame(go_away=link_pb2.GoAway(reason=_text(reason, _MAX_MESSAGE))))


def single(frame: link_pb2.Frame) -> bytes:
    return link_pb2.Batch(frames=[frame]).SerializeToString()


def decode(data: bytes, limits: LinkLimits) -> Sequence[link_pb2.Frame]:
    """The frames of one message of the stream. Raises Violation for what is malformed or oversized."""
    if len(data) > limits.max_batch_bytes:
        raise Violation(f"a batch of {len(data):,} bytes arrived, and the bound is {limits.max_batch_bytes:,}")
    try:
        frames = link_pb2.Batch.FromString(data).frames
    except (DecodeError, ValueError):
        raise Violation("what arrived is not a Batch of frames") from None
    if len(data) > limits.max_frame_bytes:
        _check_sizes(frames, limits.max_frame_bytes)
    return frames


def _check_sizes(frames: Sequence[link_pb2.Frame], bound: int) -> None:
    for frame in frames:
        size = frame.ByteSize()
        if size > bound:
            raise Violation(f"a frame of {size:,} bytes arrived, and the bound is {bound:,}")


def header_bytes(method: str, scope: str, traceparent: str) -> int:
    """At most what a call's own fields take in its frame, without its request."""
    return 4 * (len(method) + len(scope) + len(traceparent)) + FRAME_OVERHEAD_BYTES


def _bounded(failure: CallError) -> error_pb2.Error:
    task, sql, service = failure.task, failure.sql, failure.service
    if task is not None:
        task = error_pb2.TaskFailure(type=_text(task.type, _MAX_NAME), traceback=_text(task.traceback, -_MAX_TRACEBACK))
    if sql is not None:
        sql = error_pb2.SqlFailure(kind=sql.kind, sqlstate=_text(sql.sqlstate, _MAX_NAME))
    if service is not None:
        service = error_pb2.ServiceFailure(kind=_text(service.kind, _MAX_NAME))
    return to_wire(
        CallError(
            failure.status,
            failure.reason,
            _text(failure.message, _MAX_MESSAGE),
            capability=_text(failure.capability, _MAX_NAME),
            remedy=_text(failure.remedy, _MAX_MESSAGE),
            retryable=failure.retryable,
            task=task,
            sql=sql,
            service=service,
        )
    )


def _text(text: str, characters: int) -> str:
    """At most so many characters, of the end when negative; what UTF-8 cannot carry is replaced."""
    kept = text[characters:] if characters < 0 else text[:characters]
    return kept.encode("utf-8", "replace").decode("utf-8")
