"""The service's own refusals, which come on top of the gate's."""

from __future__ import annotations

from moorage.broker import refusals
from moorage.broker.egress.private import PRIVATE
from moorage.broker.egress.resolver import HostRefused
from moorage.models.installation import InstallationId
from moorage_proto import capability
from moorage_proto.capability import Decision
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.url import Url


def host_refused(installation: InstallationId, refused: HostRefused) -> CallError:
    """With the capability, and the command that grants it where one does."""
    if not refused.reach.can_be_granted:
        return refused
    missing = refusals.capability_missing(installation, Decision(False, capability.need(PRIVATE, refused.host)))
    return CallError(
        refused.status, refused.reason, refused.message, capability=missing.capability, remedy=missing.remedy
    )


def secret_unknown(installation: InstallationId, name: str) -> CallError:
    return CallError(
        Status.NOT_FOUND,
        Reason.REQUEST_INVALID,
        f"{installation} has no secret {name}. An operator sets it with: moorage secrets set {installation} {name}",
    )


def secret_unreadable(name: str) -> CallError:
    return CallError(
        Status.FAILED_PRECONDITION,
        Reason.BACKEND_FAILED,
        f"The host has the secret {name} and cannot open it; its log says why. Its operator has to set it anew.",
    )


def body_too_large(url: Url, limit_bytes: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.MESSAGE_TOO_LARGE,
        f"The body of a request to {url.origin} is larger than the {limit_bytes:,} bytes that this host sends.",
    )
