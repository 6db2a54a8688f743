"""The first frames of a lane, decided without I/O. Each stands alone in its Batch.

Lane 0: ``Hello`` from the worker, ``Welcome`` from the host. Further lanes: ``Attach`` from the worker, no answer. A
refusal is an ``Error`` with call id 0.
"""

from __future__ import annotations

from typing import Iterable, Sequence, Tuple

from moorage_proto import PROTOCOL_VERSIONS, link_pb2
from moorage_proto.errors import CallError, Reason, Status, from_wire
from moorage_proto.link import frames
from moorage_proto.link.failures import Violation
from moorage_proto.link.limits import LinkLimits

#: The method of link.proto's one RPC.
SERVICE = "moorage.v1.LinkService"
RPC = "Link"

#: Longest that either end waits for the other's first frame.
TIMEOUT_SECONDS = 10.0


def carrier_options(limits: LinkLimits) -> Tuple[Tuple[str, int], ...]:
    """gRPC's channel arguments that both ends use on a Unix socket. Life is end of file there: no keepalive."""
    return (
        # Beyond the protocol's own bound, so that the engine can say in a sentence what was wrong.
        ("grpc.max_receive_message_length", 2 * limits.max_batch_bytes),
        ("grpc.max_send_message_length", limits.max_batch_bytes),
        # A window that fits bulk from the start, instead of probing for one with pings that delay what is small.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 1 << 20),
    )


def first_frame(data: bytes, limits: LinkLimits) -> link_pb2.Frame:
    """The one frame of the first Batch of a stream. Raises Violation."""
    found = frames.decode(data, limits)
    if len(found) != 1 or found[0].call_id != 0 or found[0].more:
        raise Violation("the first batch of a stream must hold one whole frame with call id 0")
    return found[0]


def common_version(offered: Iterable[int], spoken: Sequence[int] = PROTOCOL_VERSIONS) -> int:
    """The highest version both ends speak. Raises CallError(PROTOCOL_UNSUPPORTED) with what to upgrade."""
    theirs = sorted(set(offered))
    common = set(theirs) & set(spoken)
    if common:
        return max(common)
    older = "the plugin's moorage-sdk" if not theirs or theirs[-1] < min(spoken) else "the host"
    raise CallError(
        Status.FAILED_PRECONDITION,
        Reason.PROTOCOL_UNSUPPORTED,
        f"the worker speaks protocol versions {_listed(theirs)} and this host {_listed(sorted(spoken))}: "
        f"they have none in common; upgrade {older}",
    )


def read_welcome(data: bytes, limits: LinkLimits) -> link_pb2.Welcome:
    """For the worker: the host's answer. Raises CallError when it is a refusal, Violation when it is neither."""
    frame = first_frame(data, limits)
    kind = frame.WhichOneof("body")
    if kind == "error":
        raise from_wire(frame.error)
    if kind != "welcome":
        raise Violation(f"a frame of kind {kind} answered Hello")
    common_version([frame.welcome.protocol_version])
    return frame.welcome


def hello(token: bytes, versions: Tuple[str, str, str, str]) -> bytes:
    """``versions``: of SDK, Python, protobuf and grpcio."""
    sdk, python, protobuf, grpcio = versions
    body = link_pb2.Hello(
        protocol_versions=PROTOCOL_VERSIONS,
        token=token,
        sdk_version=sdk,
        python_version=python,
        protobuf_version=protobuf,
        grpcio_version=grpcio,
    )
    return frames.single(link_pb2.Frame(hello=body))


def welcome(body: link_pb2.Welcome) -> bytes:
    return frames.single(link_pb2.Frame(welcome=body))


def attach(ticket: bytes, lane: int) -> bytes:
    return frames.single(link_pb2.Frame(attach=link_pb2.Attach(ticket=ticket, lane=lane)))


def token_invalid(what: str) -> CallError:
    return CallError(
        Status.UNAUTHENTICATED,
        Reason.TOKEN_INVALID,
        f"{what}; a worker is let in once, with the token from its own start record: start the plugin again",
    )


def _listed(versions: Sequence[int]) -> str:
    return ", ".join(str(version) for version in versions) or "(none)"
