"""What supervisor and broker shard tell each other of one worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from moorage.models.installation import InstallationId
from moorage.models.manifest import Limits
from moorage_proto.capability import Grants


@dataclass(frozen=True)
class Attachment:
    """A worker that is about to dial."""

    installation: InstallationId
    incarnation: str
    number: int
    #: Where the shard listens for this worker alone.
    socket_path: Path
    #: Who may connect; None: the host's own user.
    socket_uid: int | None
    #: One-time; the worker proves with it that it is the one that was started.
    token: bytes
    grants: Grants
    limits: Limits


@dataclass(frozen=True)
class Peer:
    """What a worker said of itself in the handshake."""

    protobuf: str
    grpcio: str


@dataclass(frozen=True)
class Holding:
    """Something that the host keeps open for a worker."""

    #: The execution for which it is open; empty: for the worker itself.
    execution: str
    #: "transaction on sql main".
    what: str
    since: datetime


@dataclass(frozen=True)
class Health:
    healthy: bool
    message: str
