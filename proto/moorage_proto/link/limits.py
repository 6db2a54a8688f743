"""The bounds of a link. Some cross the wire in ``Welcome``; the others protect the end that keeps them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from moorage_proto import link_pb2

KIB = 1024
MIB = 1024 * KIB

#: What an item costs besides its bytes, so that empty items are not free.
ITEM_OVERHEAD_BYTES = 32
#: Most that a frame's own fields and the tags around it take.
FRAME_OVERHEAD_BYTES = 64


class Side(Enum):
    """Which end of the link; the value is the first call id it gives out."""

    WORKER = 1
    HOST = 2

    @property
    def peer(self) -> Side:
        return Side.HOST if self is Side.WORKER else Side.WORKER


@dataclass(frozen=True)
class LinkLimits:
    """Bytes and counts; the defaults are what both ends use unless ``Welcome`` says otherwise."""

    #: Of a serialised Frame.
    max_frame_bytes: int = 64 * KIB
    #: Of a request, a reply or an item; also of all messages that are partly received on one lane.
    max_message_bytes: int = 16 * MIB
    #: What each direction of a stream starts with.
    initial_credit_bytes: int = 256 * KIB
    #: Lane 0 included.
    max_lanes: int = 2
    #: Each end's calls that have not ended.
    max_open_calls: int = 4096

    # The rest is each end's own affair.

    #: Larger messages take turns with other bulk instead of going before it.
    small_message_bytes: int = 16 * KIB
    #: New calls and items wait while a lane has this much to send.
    room_bytes: int = 4 * MIB
    #: A peer that lets more than this pile up on one lane does not read.
    max_queued_bytes: int = 64 * MIB
    #: Received items that nobody has consumed, of all streams together.
    max_buffered_bytes: int = 64 * MIB
    #: Received frames that are processed before other links have their turn.
    turn_frames: int = 16

    @property
    def max_payload_bytes(self) -> int:
        """What of a message fits into one frame."""
        return self.max_frame_bytes - FRAME_OVERHEAD_BYTES

    @property
    def max_batch_bytes(self) -> int:
        """Of a serialised Batch."""
        return 4 * self.max_frame_bytes


def to_wire(limits: LinkLimits) -> link_pb2.Limits:
    return link_pb2.Limits(
        max_frame_bytes=limits.max_frame_bytes,
        max_message_bytes=limits.max_message_bytes,
        initial_credit_bytes=limits.initial_credit_bytes,
        max_lanes=limits.max_lanes,
        max_open_calls=limits.max_open_calls,
    )


def from_wire(wire: link_pb2.Limits) -> LinkLimits:
    """What the host allows; a field it left out keeps its default."""
    defaults = LinkLimits()
    return replace(
        defaults,
        max_frame_bytes=wire.max_frame_bytes or defaults.max_frame_bytes,
        max_message_bytes=wire.max_message_bytes or defaults.max_message_bytes,
        initial_credit_bytes=wire.initial_credit_bytes or defaults.initial_credit_bytes,
        max_lanes=wire.max_lanes or defaults.max_lanes,
        max_open_calls=wire.max_open_calls or defaults.max_open_calls,
    )
