"""Injection: what each parameter of a task, hook or provider is given. Decided when the plugin is loaded.

A parameter is looked up by its annotation, in this order: the Context, the plugin's settings, the plugin's own
providers, the handover, the faces of services. What is left of a task may be its input: the one parameter whose type is
a dataclass, TypedDict or pydantic model, or a union of such, or that is named ``input``. Anything else is refused.
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from typing import AbstractSet, Any, Callable, Dict, Mapping, Optional, Protocol, Tuple

from moorage_proto.annotations import UNIONS
from moorage_sdk.context import Context
from moorage_sdk.errors import PluginInvalid
from moorage_sdk.handover import Handover
from moorage_sdk.host import HostFacts
from moorage_sdk.lifetime import Lifetime
from moorage_sdk.markers import Settings
from moorage_sdk.messages import Message, takes_whole
from moorage_sdk.parameters import NO_DEFAULT, Parameter, parameters_of
from moorage_sdk.providers import Provider
from moorage_sdk.schema import AnnotationUnsupported, Mismatch, Shape, is_record_type, shape_of
from moorage_sdk.services import registry
from moorage_sdk.services.base import Face, type_name
from moorage_sdk.services.events import Event
from moorage_sdk.services.typed import not_offered, offered, typed_face
from moorage_sdk.settings import ConfigChange, LiveSettings


class Source(Protocol):
    """Where a parameter's value comes from."""

    @property
    def scoped(self) -> bool:
        """Whether the value is of one scope; what lives as long as the plugin cannot hold such a value."""

    async def get(self, lifetime: Lifetime) -> Any: ...


@dataclass(frozen=True)
class Constant:
    """The handover; None for an optional capability that was not granted."""

    value: Any
    scoped: bool = False

    async def get(self, lifetime: Lifetime) -> Any:  # noqa: ARG002 - it is the same in every lifetime
        return self.value


@dataclass(frozen=True)
class FromSettings:
    """The plugin's settings, as they are when it is asked for them."""

    settings: LiveSettings
    annotation: Any
    scoped: bool = False

    async def get(self, lifetime: Lifetime) -> Any:  # noqa: ARG002 - they are the same in every lifetime
        return self.settings.read(self.annotation)


@dataclass(frozen=True)
class FromChange:
    """In ``on_config_changed``: what was changed."""

    scoped: bool = True

    async def get(self, lifetime: Lifetime) -> Any:
        return lifetime.change


@dataclass(frozen=True)
class FromContext:
    scoped: bool = True

    async def get(self, lifetime: Lifetime) -> Any:
        return lifetime.context


@dataclass(frozen=True)
class FromEvent:
    """In an event handler: what it was called with."""

    scoped: bool = True

    async def get(self, lifetime: Lifetime) -> Any:
        return lifetime.context.event


@dataclass(frozen=True)
class FromError:
    """In ``on_error``: what the task raised."""

    scoped: bool = True

    async def get(self, lifetime: Lifetime) -> Any:
        return lifetime.error


@dataclass(frozen=True)
class FromFace:
    face: Face
    type_name: str
    backend: str

    @property
    def scoped(self) -> bool:
        return self.face.per_scope

    async def get(self, lifetime: Lifetime) -> Any:
        return lifetime.face_value(self.face, self.type_name, self.backend)


@dataclass(frozen=True)
class FromProvider:
    provider: Provider
    plan: Plan

    @property
    def scoped(self) -> bool:
        return self.provider.scoped

    async def get(self, lifetime: Lifetime) -> Any:
        owner = lifetime if self.scoped else lifetime.plugin
        return await owner.provided_value(self.provider, self.plan.arguments)


@dataclass(frozen=True)
class Input:
    """The parameter that is given the execution's input."""

    parameter: Parameter
    shape: Shape

    def read(self, value: Any) -> Any:
        """Raises Mismatch. No input is the parameter's default, or None, or a record of defaults where it has them."""
        if value is not None:
            return self.shape.read(value, "input")
        if self.parameter.default is not NO_DEFAULT:
            return self.parameter.default
        if is_record_type(self.parameter.wanted) and not self.parameter.optional:
            return self.shape.read({}, "input")
        return self.shape.read(None, "input")

    def part(self, value: Any, message: Message) -> Any:
        """What ``read`` is given of a trigger's record: all of it, or what it carries. Raises Mismatch."""
        if takes_whole(self.parameter.wanted):
            return value
        try:
            return message.payload(self.parameter.wanted)
        except ValueError as error:
            kind = type(message).__name__
            raise Mismatch(
                "input", f"what the {kind} carries is no JSON ({error}); take the {kind} itself to read it as it is"
            ) from error


@dataclass(frozen=True)
class Plan:
    """How one function is called."""

    sources: Tuple[Tuple[str, Source], ...]
    input: Optional[Input] = None

    async def arguments(self, lifetime: Lifetime) -> Dict[str, Any]:
        """All but the input."""
        return {name: await source.get(lifetime) for name, source in self.sources}


class Injector:
    """Makes plans for one plugin."""

    def __init__(
        self,
        host: HostFacts,
        providers: Mapping[Any, Provider],
        settings: LiveSettings,
        settings_type: Any,
        handover: Optional[Handover] = None,
    ) -> None:
        self._host = host
        self._handover = handover
        self._providers = providers
        self._settings = settings
        self._settings_type = settings_type
        self._provider_plans: Dict[Provider, Plan] = {}
        #: Names of the providers that are being planned, outermost first.
        self._open: Tuple[Provider, ...] = ()

    def plan(
        self,
        function: Callable[..., Any],
        owner: str,
        *,
        takes_input: bool = False,
        leave: AbstractSet[str] = frozenset(),
    ) -> Plan:
        """``leave``: parameters that are given otherwise. Raises PluginInvalid where nothing can be injected."""
        sources = []
        found_input: Optional[Input] = None
        for parameter in parameters_of(function, owner, leave=leave):
            source = self._source(parameter, owner)
            if source is not None:
                sources.append((parameter.name, source))
            elif takes_input and _may_be_input(parameter):
                if found_input is not None:
                    raise PluginInvalid(
                        f"{owner}: both {found_input.parameter.name!r} and {parameter.name!r} could be the input, and "
                        f"a task has one; put the fields of both into one class"
                    )
                found_input = _input(parameter, owner)
            else:
                raise self._refusal(parameter, owner, takes_input)
        return Plan(tuple(sources), found_input)

    def provider_plan(self, provider: Provider) -> Plan:
        """Raises PluginInvalid for providers that need each other, or live longer than what they need."""
        plan = self._provider_plans.get(provider)
        if plan is not None:
            return plan
        if provider in self._open:
            circle = " needs ".join(one.name for one in (*self._open[self._open.index(provider) :], provider))
            raise PluginInvalid(f"providers need each other: {circle}; one of them must do without")
        before, self._open = self._open, (*self._open, provider)
        try:
            plan = self.plan(provider.function, provider.owner)
        finally:
            self._open = before
        for name, source in plan.sources:
            if source.scoped and not provider.scoped:
                raise PluginInvalid(
                    f"{provider.owner} lives as long as the plugin, so it cannot hold {name!r}, which lives for one "
                    f'scope; give it lifetime="scope"'
                )
        self._provider_plans[provider] = plan
        return plan

    def _source(self, parameter: Parameter, owner: str) -> Optional[Source]:
        if parameter.wanted is Context:
            return FromContext()
        if parameter.marked(Settings) or (self._settings_type is not None and parameter.wanted is self._settings_type):
            self._settings.read(parameter.wanted)
            return FromSettings(self._settings, parameter.wanted)
        provider = self._providers.get(parameter.wanted) if _hashable(parameter.wanted) else None
        if provider is not None:
            return FromProvider(provider, self.provider_plan(provider))
        if parameter.wanted is Handover:
            return self._handover_source(parameter, owner)
        if parameter.wanted is str and (parameter.name, owner) == ("from_version", "hook 'on_upgrade'"):
            return Constant(self._handover.from_version if self._handover is not None else "")
        if parameter.wanted is Event:
            return FromEvent()
        if parameter.wanted is ConfigChange:
            return _change_source(parameter, owner)
        if parameter.wanted in (Exception, BaseException) and owner == "hook 'on_error'":
            return FromError()
        return self._face_source(parameter)

    def _handover_source(self, parameter: Parameter, owner: str) -> Source:
        if owner.startswith("task "):
            raise PluginInvalid(
                f"{owner}: parameter {parameter.name!r}: the Handover is for the start of the plugin; take it in "
                "on_load or in a provider, and keep there what the tasks need of it"
            )
        return Constant(self._handover if self._handover is not None or parameter.optional else Handover())

    def _face_source(self, parameter: Parameter) -> Optional[Source]:
        name = type_name(typing.get_origin(parameter.wanted) or parameter.wanted)
        face = registry.find(name)
        if face is None:
            return self._typed_source(parameter, name)
        if parameter.optional and not self._host.grants_any(face.capability_verbs, parameter.backend):
            return Constant(None)
        return FromFace(face, name, parameter.backend)

    def _typed_source(self, parameter: Parameter, name: str) -> Optional[Source]:
        """A service of the application whose contract is the class."""
        face = typed_face(parameter.wanted, name)
        if face is None:
            return None
        if not offered(parameter.wanted, self._host):
            if parameter.optional:
                return Constant(None)
            raise not_offered(parameter.wanted)
        if parameter.optional and not self._host.grants_any(face.capability_verbs, parameter.backend):
            return Constant(None)
        return FromFace(face, name, parameter.backend)

    def _refusal(self, parameter: Parameter, owner: str, takes_input: bool) -> PluginInvalid:
        known = ["moorage_sdk.Context", *map(_public_name, registry.provided())]
        known += [f"{provider.type_text} (from {provider.name})" for provider in self._providers.values()]
        rest = ""
        if takes_input:
            rest = "; a task's input is a dataclass, TypedDict or pydantic model, a union of such, or named `input`"
        return PluginInvalid(
            f"{owner}: nothing can be injected for parameter {parameter.name!r} annotated "
            f"{inspect.formatannotation(parameter.annotation)}; what can be: {', '.join(known)}{rest}"
        )


def _change_source(parameter: Parameter, owner: str) -> Source:
    if owner != "hook 'on_config_changed'":
        raise PluginInvalid(
            f"{owner}: parameter {parameter.name!r}: a ConfigChange is for on_config_changed alone; keep there what you"
            " need of it"
        )
    return FromChange()


def _may_be_input(parameter: Parameter) -> bool:
    if parameter.name == "input" or is_record_type(parameter.wanted):
        return True
    members = typing.get_args(parameter.wanted) if typing.get_origin(parameter.wanted) in UNIONS else ()
    return bool(members) and all(is_record_type(member) for member in members if member is not type(None))


def _input(parameter: Parameter, owner: str) -> Input:
    try:
        return Input(parameter, shape_of(parameter.annotation))
    except AnnotationUnsupported as error:
        raise PluginInvalid(f"{owner}: the input {parameter.name!r}: {error}") from error


def _hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


def _public_name(provided: str) -> str:
    """As plugin code imports it: moorage_sdk.services.sql.connection:Connection is moorage_sdk.sql.Connection, and
    sqlalchemy.orm.session:Session is sqlalchemy.orm.Session."""
    module, _, name = provided.partition(":")
    parts = module.split(".")
    if parts[:2] == ["moorage_sdk", "services"]:
        module = ".".join(["moorage_sdk", parts[2], *(part for part in parts[3:] if part == "aio")])
    elif parts[0] == "sqlalchemy":
        module = ".".join(parts[:-1])
    return f"{module}.{name}"
