"""Sentences of the Redis service."""

from __future__ import annotations

from moorage.broker import refusals
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.redis_decisions import invalid, refused


def backend_unknown(name: str) -> CallError:
    name = refusals.shown(name)
    sentence = f"This host has no Redis server named {name!r}. Its operator adds it under [redis.{name}]."
    return CallError(Status.NOT_FOUND, Reason.BACKEND_UNKNOWN, sentence)


def unavailable(name: str, problem: str, *, retryable: bool = True) -> CallError:
    """Addresses stay in the host's log: they are the operator's."""
    return CallError(
        Status.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"The Redis server {name!r} {problem}. Try again later; the host's log tells its operator more.",
        retryable=retryable,
    )


def broke_off(name: str) -> CallError:
    """Not retryable: the commands were sent."""
    return unavailable(
        name, "broke off before it had answered, and whether it did what was asked is unknown", retryable=False
    )


def silent(name: str, seconds: float) -> CallError:
    problem = f"has not answered within {seconds:g} s, and whether it did what was asked is unknown"
    return unavailable(name, problem, retryable=False)


def overdue(name: str) -> CallError:
    return CallError(
        Status.DEADLINE_EXCEEDED,
        Reason.DEADLINE_EXCEEDED,
        f"The Redis server {name!r} had not answered when the caller's time was up. Whether it did what was asked is"
        " unknown.",
    )


def scripts_unfenced(name: str) -> CallError:
    return refused(
        f"Scripts can touch keys that they do not declare, and the Redis server {name!r} does not bind this host to the"
        " rights of an installation. Its operator can let the host make ACL users there, or allow scripts with"
        f" redis.{name}.unfenced_scripts."
    )


def scripts_embedded(name: str) -> CallError:
    return refused(
        f"The Redis server {name!r} is embedded in the host, where a script would run unprotected. Scripts need a real"
        " server: the operator sets its URL."
    )


def too_many(what: str, limit: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        f"An installation may have {limit} {what} at a time on one Redis server. Close those that are not used.",
        retryable=True,
    )


def too_many_names() -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.QUOTA_EXCEEDED,
        "The open transactions, watches and subscriptions of an installation may name some 60,000 keys and channels"
        " together. End some of them, or use fewer names.",
        retryable=True,
    )


def too_large(limit_bytes: int) -> CallError:
    return CallError(
        Status.RESOURCE_EXHAUSTED,
        Reason.MESSAGE_TOO_LARGE,
        f"The answers of one call may have {limit_bytes // 1024**2} MiB together. Ask for less at a time, as with"
        " SCAN, HSCAN, LRANGE or GETRANGE.",
    )


def not_a(what: str, handle: int) -> CallError:
    return invalid(f"The handle {handle} does not name a {what} of this scope.")
