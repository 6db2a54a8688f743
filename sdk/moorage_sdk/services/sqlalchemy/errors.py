"""Errors that are SQLAlchemy's and Moorage's at once: either ``except`` catches them."""

from __future__ import annotations

from typing import Any, Dict, Tuple, Type

from sqlalchemy import event

from moorage_sdk.errors import (
    Cancelled,
    CapabilityMissing,
    DeadlineExceeded,
    HostUnavailable,
    MoorageError,
    QuotaExceeded,
    ScopeClosed,
    SerializationFailure,
)

_KINDS: Tuple[Type[MoorageError], ...] = (
    CapabilityMissing,
    SerializationFailure,
    DeadlineExceeded,
    Cancelled,
    QuotaExceeded,
    ScopeClosed,
    HostUnavailable,
)


def watch(engine: Any) -> None:
    """From now on what SQLAlchemy wraps for this engine is a MoorageError as well."""
    event.listen(engine, "handle_error", _as_both, retval=True)


def _as_both(context: Any) -> Any:
    original, wrapped = context.original_exception, context.sqlalchemy_exception
    if wrapped is None or not isinstance(original, MoorageError):
        return None
    kind = next((kind for kind in _KINDS if isinstance(original, kind)), MoorageError)
    both = _combined(type(wrapped), kind)
    error = both.__new__(both, *wrapped.args)
    vars(error).update({**vars(original), **vars(wrapped)})
    return error


def _combined(wrapper: Type[Any], kind: Type[MoorageError]) -> Type[Any]:
    """Named as SQLAlchemy's, whose words it speaks. One for each pair, so that it can be caught twice."""
    found = _classes.get((wrapper, kind))
    if found is None:
        members = {"__module__": wrapper.__module__, "__doc__": kind.__doc__}
        found = _classes[wrapper, kind] = type(wrapper.__name__, (wrapper, kind), members)
    return found


_classes: Dict[Tuple[Type[Any], Type[MoorageError]], Type[Any]] = {}
