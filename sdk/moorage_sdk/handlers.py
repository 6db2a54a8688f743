"""Event handlers as a plugin declares them, and as they are after loading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional

from moorage_proto import topics
from moorage_sdk.errors import PluginInvalid
from moorage_sdk.injection import Injector
from moorage_sdk.schema import JsonSchema
from moorage_sdk.tasks import Task, load_task


@dataclass(frozen=True)
class DeclaredHandler:
    """What ``@plugin.on_event`` and ``@plugin.reply_to`` leave."""

    #: With globs: "track.*".
    topic: str
    function: Callable[..., Any]
    replies: bool

    @property
    def name(self) -> str:
        return f"{self.topic} {self.function.__name__}"


@dataclass(frozen=True)
class Handler:
    """One that can be called."""

    topic: str
    replies: bool
    task: Task

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def data_schema(self) -> Optional[JsonSchema]:
        """None: it does not take the event's data."""
        return self.task.input_schema


def load_handler(declared: DeclaredHandler, injector: Injector) -> Handler:
    """Raises PluginInvalid for a topic that is none, and for annotations that cannot be injected."""
    problem = topics.problem_of_pattern(declared.topic)
    if problem:
        raise PluginInvalid(f"{declared.function.__name__}: {problem}")
    return Handler(declared.topic, declared.replies, load_task(declared.name, declared.function, injector))
