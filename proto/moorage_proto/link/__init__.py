"""The multiplexing engine of a link, used by both ends. It knows bytes and frames; what carries them is a Transport."""

from __future__ import annotations

from moorage_proto.link.client import ClientCall
from moorage_proto.link.failures import Violation
from moorage_proto.link.incoming import IncomingCall
from moorage_proto.link.lane import Transport
from moorage_proto.link.limits import LinkLimits, Side
from moorage_proto.link.link import Link
from moorage_proto.link.outgoing import OutgoingCall
from moorage_proto.link.reception import Dispatcher

__all__ = [
    "ClientCall",
    "Dispatcher",
    "IncomingCall",
    "Link",
    "LinkLimits",
    "OutgoingCall",
    "Side",
    "Transport",
    "Violation",
]
