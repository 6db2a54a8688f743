"""Tracebacks for people: what Python prints, without the frames of the SDK and of the machinery below it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import threading
import traceback
from pathlib import Path
from typing import Any, Optional, Set, Tuple

import google.protobuf

import moorage_proto
import moorage_sdk
from moorage_proto.error_pb2 import TaskFailure
from moorage_sdk.errors import MoorageError

#: Longer ones keep their end, where the error is.
MAX_CHARACTERS = 32_000
MAX_MESSAGE_CHARACTERS = 4_000
#: Of an exception's class.
MAX_NAME_CHARACTERS = 200

_PACKAGES = (moorage_sdk, moorage_proto, asyncio, concurrent.futures, google.protobuf)
_MACHINERY: Tuple[str, ...] = (
    *(str(Path(package.__file__).parent) + "/" for package in _PACKAGES if package.__file__),
    threading.__file__,
    importlib.__file__,
    "<frozen importlib",
)


def of_plugin(error: BaseException) -> str:
    """The traceback with the plugin's frames, and those of the libraries it uses, only."""
    told = traceback.TracebackException.from_exception(error)
    _trim(told, error, set())
    text = _writable("".join(told.format()))
    return text if len(text) <= MAX_CHARACTERS else "...\n" + text[-MAX_CHARACTERS:]


def failure_of(error: BaseException) -> TaskFailure:
    return TaskFailure(type=type_of(error), traceback=of_plugin(error))


def type_of(error: BaseException) -> str:
    """ "churn.errors.NoUsers"; built-in ones without their module."""
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return name[:MAX_NAME_CHARACTERS]


def message_of(error: BaseException) -> str:
    """ "ValueError: no users", for a sentence. An exception whose text cannot be made is named only."""
    try:
        text = str(error)[:MAX_MESSAGE_CHARACTERS]
    except BaseException as problem:  # noqa: BLE001 - plugin code; the failure itself must still be told
        text = f"<its text raised {type(problem).__name__}>"
    name = type(error).__name__[:MAX_NAME_CHARACTERS]
    return _writable(f"{name}: {text}" if text else name)


def _writable(text: str) -> str:
    """Half a surrogate pair is text to Python, and nothing that can be sent; the failure itself must still be told."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _trim(told: Any, error: Optional[BaseException], seen: Set[int]) -> None:
    """In place, with everything that is chained to it; chains may be circles."""
    if id(told) in seen:
        return
    seen.add(id(told))
    told.stack = traceback.StackSummary.from_list([f for f in told.stack if not f.filename.startswith(_MACHINERY)])
    if isinstance(error, MoorageError):
        # Its causes are how the SDK came by it.
        told.__cause__ = told.__context__ = None
        return
    for name in ("__cause__", "__context__"):
        chained = getattr(told, name)
        if chained is not None:
            _trim(chained, getattr(error, name, None), seen)
    for inner, inner_error in zip(getattr(told, "exceptions", None) or (), getattr(error, "exceptions", ())):
        _trim(inner, inner_error, seen)
