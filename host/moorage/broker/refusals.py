"""The broker's refusals: what was wanted, which rule stands against it, what to do next.

Names that come from the worker are shortened and freed of control characters, and a command is offered only when it
grants exactly what was asked for: an operator pastes it into a shell.
"""

from __future__ import annotations

from collections.abc import Sequence

from moorage.models.installation import InstallationId
from moorage_proto import capability
from moorage_proto.capability import Capability, CapabilityInvalid, Decision
from moorage_proto.errors import CallError, Reason, Status

#: Of a name, in a sentence.
MAX_NAME_CHARACTERS = 200


def link_ended(installation: InstallationId) -> CallError:
    return CallError(
        Status.UNAVAILABLE, Reason.LINK_CLOSED, f"The link of {installation} has ended; its calls have ended with it."
    )


def scope_closed(scope: str) -> CallError:
    return CallError(
        Status.FAILED_PRECONDITION,
        Reason.SCOPE_CLOSED,
        f"The scope {shown(scope)!r} has ended, or is not one of this worker's. Make calls while the task runs, and "
        "wait for them before it returns.",
    )


def method_unknown(path: str) -> CallError:
    return CallError(
        Status.UNIMPLEMENTED,
        Reason.METHOD_UNKNOWN,
        f"This host has no method {shown(path)!r}. Its operator may have to upgrade it, or to switch the service on.",
    )


def request_invalid(path: str, problem: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, f"{path} cannot be called like this: {problem}.")


def refused(installation: InstallationId, decision: Decision, down: str = "") -> CallError:
    """What the gate decided against; ``down`` names what of the audit cannot be written."""
    if decision.fail_closed:
        return audit_unwritable(installation, decision.need, down)
    return capability_missing(installation, decision)


def audit_unwritable(installation: InstallationId, need: Capability, down: str) -> CallError:
    name = shown(str(need))
    where = f" ({down})" if down else ""
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"{installation} may use {name} only while the host's audit can be written, and at this moment it cannot be"
        f"{where}. Try again later; its operator finds the cause with: moorage audit --sinks",
        capability=name,
        retryable=True,
    )


def capability_missing(installation: InstallationId, decision: Decision) -> CallError:
    text = str(decision.need)
    name = shown(text)
    command = grant_command(installation, decision.need)
    if decision.rule is not None:
        message = (
            f"{installation} may not use {name}: an operator has denied {decision.rule}, and no grant overrides that."
        )
        command = ""
    elif command:
        message = (
            f"{installation} lacks the capability {name}. Its manifest has to request it; an operator then grants it "
            f"with: {command}"
        )
    else:
        message = (
            f"{installation} lacks the capability {name}. No grant can name exactly this resource, because of the "
            "characters in its name or its length; use another name."
        )
    return CallError(Status.PERMISSION_DENIED, Reason.CAPABILITY_MISSING, message, capability=name, remedy=command)


def backend_untouched(installation: InstallationId, verbs: Sequence[str], backend: str) -> CallError:
    """No grant with one of the verbs concerns the backend."""
    example = Capability(verbs[0], f"{backend}/*")
    command = _command(installation, str(example))
    return CallError(
        Status.PERMISSION_DENIED,
        Reason.CAPABILITY_MISSING,
        f"{installation} has no capability for {shown(backend)}: it takes one of {', '.join(verbs)}. An operator "
        f"grants one with, for example: {command}",
        capability=shown(str(example)),
        remedy=command,
    )


def grant_revoked(path: str) -> CallError:
    return CallError(
        Status.PERMISSION_DENIED,
        Reason.GRANT_REVOKED,
        f"{path} was ended because an operator took a grant back on which it depends.",
    )


def quota_exceeded(installation: InstallationId, what: str, limit: float) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"{installation} exceeds its quota of {limit:,g} {what}. Slow down, or raise the limit in the plugin's "
        f"manifest, or for this host under installations.{installation} in its settings.",
        retryable=True,
    )


def too_many_bytes_in_flight(installation: InstallationId, limit_bytes: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"Requests of {installation} that wait for their answers may have {limit_bytes // 1024**2} MiB together, and "
        "this one would make them more. Wait for some answers first.",
        retryable=True,
    )


def deadline_exceeded(path: str) -> CallError:
    return CallError(
        Status.DEADLINE_EXCEEDED,
        Reason.DEADLINE_EXCEEDED,
        f"{path} was not answered within the time that the caller allowed. Whether it took effect is unknown.",
    )


def cancelled(path: str) -> CallError:
    return CallError(Status.CANCELLED, Reason.CANCELLED, f"{path} was cancelled. Whether it took effect is unknown.")


def internal(path: str, reference: str) -> CallError:
    """Says nothing of the cause, which may hold addresses, paths and secrets; the host's log has it."""
    return CallError(
        Status.INTERNAL,
        Reason.INTERNAL,
        f"The host failed to answer {path}. Its operator finds the cause in the host's log under {reference}.",
    )


def unfinished_calls(scope: str, paths: Sequence[str]) -> CallError:
    return CallError(
        Status.ABORTED,
        Reason.CANCELLED,
        f"{scope} was rolled back: {', '.join(sorted(set(paths)))} had not been answered when its task returned. Wait "
        "for every call before the task returns.",
    )


def rolled_back(scope: str) -> CallError:
    return CallError(
        Status.ABORTED, Reason.LINK_CLOSED, f"{scope} was rolled back: its worker's link ended before the commit."
    )


def commit_failed(scope: str, reference: str) -> CallError:
    return CallError(
        Status.INTERNAL,
        Reason.BACKEND_FAILED,
        f"The commit of {scope} failed. The operator finds the cause in the host's log under {reference}.",
    )


def grant_command(installation: InstallationId, need: Capability) -> str:
    """The command that grants this need and nothing beside it; empty when there is none, such as for a name with a
    glob in it.
    """
    text = str(need)
    if ("*" in text and not need.wild) or len(text) > MAX_NAME_CHARACTERS or not text.isprintable():
        return ""
    try:
        right = capability.parse(text)
    except CapabilityInvalid:
        return ""
    return _command(installation, text) if right.resource == need.resource and right.covers(need) else ""


def shown(name: str) -> str:
    """A worker's text, fit for a sentence."""
    if name.isprintable() and len(name) <= MAX_NAME_CHARACTERS:
        return name
    clean = "".join(character if character.isprintable() else "?" for character in name[:MAX_NAME_CHARACTERS])
    return clean if len(name) <= MAX_NAME_CHARACTERS else f"{clean}..."


def _command(installation: InstallationId, text: str) -> str:
    quoted = text.replace("'", "'\"'\"'")
    return f"moorage grant {installation} '{quoted}'"
