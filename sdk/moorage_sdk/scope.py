"""The scope that plugin code runs in; context variables carry it into threads and tasks started by `asyncio`."""

from __future__ import annotations

import contextlib
import contextvars
from dataclasses import dataclass
from typing import Iterator


@dataclass
class Scope:
    """What a call belongs to: an execution, or the incarnation itself."""

    id: str
    #: W3C traceparent of the call that opened it.
    traceparent: str = ""
    execution: str = ""
    attempt: int = 1
    trigger: str = ""


_current: contextvars.ContextVar[Scope] = contextvars.ContextVar("moorage_scope")

#: Of the incarnation, for code that runs outside any execution.
_fallback = Scope("")


def current() -> Scope:
    return _current.get(_fallback)


def incarnation() -> Scope:
    """The scope of calls that belong to nothing smaller, whatever the present one is."""
    return _fallback


def set_incarnation(scope: Scope) -> None:
    """For the bootstrap: the scope of calls that belong to nothing smaller."""
    global _fallback
    _fallback = scope


@contextlib.contextmanager
def entered(scope: Scope) -> Iterator[Scope]:
    token = _current.set(scope)
    try:
        yield scope
    finally:
        _current.reset(token)
