"""What a loaded plugin brings: its tasks, the functions that are called with events, and extensions."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.models.event import HandlerView
from moorage.models.extensions import Extension
from moorage.models.views import TaskView


@dataclass(frozen=True)
class Contributions:
    tasks: tuple[TaskView, ...] = ()
    handlers: tuple[HandlerView, ...] = ()
    extensions: tuple[Extension, ...] = ()
    #: Names of those that it has: "on_load", "health", ...
    hooks: tuple[str, ...] = ()
