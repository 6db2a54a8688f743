"""What the link itself ends calls and links with. Each sentence says what happened, the rule and what to do."""

from __future__ import annotations

from moorage_proto import error_pb2
from moorage_proto.errors import CallError, Reason, Status


class Violation(Exception):
    """The peer broke a rule of the protocol; the link ends, and nothing else does."""

    def __init__(self, sentence: str, reason: error_pb2.Reason = Reason.PROTOCOL_VIOLATION) -> None:
        super().__init__(sentence)
        self.reason = reason

    @property
    def error(self) -> CallError:
        return CallError(Status.FAILED_PRECONDITION, self.reason, f"protocol violation: {self}; the link was ended")


def cut_off(lane: int) -> Violation:
    """A stream that ended while its connection stands: no process has ended, and nobody said why."""
    return Violation(
        f"lane {lane} broke off and its connection did not: more came on it than gRPC's bounds on messages and flow "
        "allow, or the stream was ended without an error frame"
    )


def link_closed(sentence: str) -> CallError:
    return CallError(Status.UNAVAILABLE, Reason.LINK_CLOSED, sentence)


def call_lost(cause: CallError) -> CallError:
    """For the calls that were open when the link ended."""
    return link_closed(f"the link has ended, and this call with it; whether it took effect is unknown: {cause.message}")


def gone_away(reason: str) -> CallError:
    return CallError(
        Status.UNAVAILABLE,
        Reason.LINK_CLOSED,
        f"the peer accepts no new calls: {reason}; calls that run may finish",
        retryable=True,
    )


def cancelled() -> CallError:
    return CallError(Status.CANCELLED, Reason.CANCELLED, "the call was cancelled by its caller")


def deadline_exceeded(method: str) -> CallError:
    return CallError(
        Status.DEADLINE_EXCEEDED,
        Reason.DEADLINE_EXCEEDED,
        f"the deadline of {method} passed before it was answered; whether it took effect is unknown",
    )


def too_large(what: str, size: int, bound: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.MESSAGE_TOO_LARGE,
        f"{what} has {size:,} bytes, and a message may have {bound:,}; split it or use a stream",
    )


def too_many_calls(bound: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"{bound:,} calls are open on this link already, which is the most; wait until some have ended",
        retryable=True,
    )


def buffers_full(bound: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"{bound:,} bytes of stream items wait to be consumed on this link, which is the most; "
        "read open streams to their end, or close them",
        retryable=True,
    )


def header_too_large(size: int, bound: int) -> CallError:
    return CallError(
        Status.INVALID_ARGUMENT,
        Reason.REQUEST_INVALID,
        f"method, scope and trace context have {size:,} bytes together, and a call may carry {bound:,}; shorten them",
    )


def dispatcher_failed(method: str) -> CallError:
    return CallError(
        Status.INTERNAL, Reason.INTERNAL, f"{method} could not be dispatched: a bug of the called side; see its log"
    )


def does_not_read(queued: int, bound: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.PROTOCOL_VIOLATION,
        f"the peer does not read: {queued:,} bytes wait to be sent on one lane, and the bound is {bound:,}; "
        "the link was ended",
    )
