"""A task as it is after loading: how it is called, and what its input and result look like."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Callable, Optional

from moorage_sdk.errors import PluginInvalid
from moorage_sdk.injection import Injector, Plan
from moorage_sdk.parameters import result_annotation
from moorage_sdk.schema import AnnotationUnsupported, JsonSchema, Shape, json_schema, shape_of


@dataclass(frozen=True)
class Task:
    """One named, typed function of a plugin."""

    name: str
    function: Callable[..., Any]
    plan: Plan
    result: Shape

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def input_schema(self) -> Optional[JsonSchema]:
        """None: the task takes no input."""
        return None if self.plan.input is None else json_schema(self.plan.input.shape)

    @property
    def result_schema(self) -> JsonSchema:
        return json_schema(self.result)


def load_task(name: str, function: Callable[..., Any], injector: Injector) -> Task:
    """Raises PluginInvalid for annotations that cannot be injected, or cannot cross to the host."""
    owner = f"task {name!r}"
    plan = injector.plan(function, owner, takes_input=True)
    try:
        result = shape_of(result_annotation(function, owner))
    except AnnotationUnsupported as error:
        raise PluginInvalid(f"{owner}: its result: {error}") from error
    return Task(name, function, plan, result)
