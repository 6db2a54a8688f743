"""What a plugin implements of an application's extension points: as it is declared, and as it is after loading."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Set, Tuple

from google.protobuf.message import DecodeError

from moorage_proto.annotations import same_type
from moorage_proto.typed import ContractInvalid, ValueUnfit
from moorage_proto.typed.contract import TypedMethod
from moorage_proto.typed.extension import MAX_BYTES, Point, method_of, owner_of, point_of
from moorage_sdk.errors import PluginInvalid
from moorage_sdk.injection import Injector, Plan
from moorage_sdk.lifetime import Lifetime
from moorage_sdk.parameters import parameters_of, result_annotation


@dataclass(frozen=True)
class DeclaredExtension:
    """What ``@plugin.implements`` leaves."""

    #: A class under ``@extension_point``, or one of its methods.
    contract: Any
    #: A class for a class, a function for a method.
    implementation: Any


@dataclass(frozen=True)
class Implementation:
    """One method that can be called."""

    point: Point
    method: TypedMethod
    function: Callable[..., Any]
    plan: Plan
    #: Of a method: the class, of which each call has an object of its own, and how that is made.
    class_: Optional[type] = None
    making: Plan = field(default_factory=lambda: Plan(()))

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @property
    def name(self) -> str:
        return f"{self.point.name}.{self.method.name}"

    async def bound(self, lifetime: Lifetime) -> Tuple[Callable[..., Any], Dict[str, Any]]:
        """The function, without ``self``, and what is injected. The object is made where the method runs."""
        injected = await self.plan.arguments(lifetime)
        if self.class_ is None:
            return self.function, injected
        class_, function = self.class_, self.function
        made = await self.making.arguments(lifetime)
        if not self.is_async:
            return (lambda **arguments: function(class_(**made), **arguments)), injected

        async def call(**arguments: Any) -> Any:
            return await function(class_(**made), **arguments)

        return call, injected


@dataclass(frozen=True)
class Extension:
    """One version of an extension point, implemented."""

    point: Point
    methods: Mapping[str, Implementation]


@dataclass(frozen=True)
class ExtensionWork:
    """One call of a method; see ``run.Work``."""

    implementation: Implementation
    #: The method's request message, as bytes.
    arguments: bytes

    @property
    def name(self) -> str:
        return self.implementation.name

    @property
    def owner(self) -> str:
        return f"extension {self.name!r}"

    @property
    def is_async(self) -> bool:
        return self.implementation.is_async

    async def bound(self, lifetime: Lifetime) -> Tuple[Callable[..., Any], Dict[str, Any]]:
        return await self.implementation.bound(lifetime)

    def read(self) -> Dict[str, Any]:
        """What is absent has its default in the contract. Raises ValueUnfit."""
        method = self.implementation.method
        try:
            request = method.method.request.FromString(self.arguments)
        except DecodeError:
            raise ValueUnfit("the arguments", "they are no message of the contract") from None
        return {**_defaults(method), **method.arguments(request)}

    def write(self, result: Any) -> bytes:
        """Raises ValueUnfit."""
        answer: bytes = self.implementation.method.reply(result).SerializeToString()
        if len(answer) > MAX_BYTES:
            raise ValueUnfit("the answer", f"it takes {len(answer):,} bytes, and at most {MAX_BYTES:,} are taken")
        return answer


def load_extensions(declared: Iterable[DeclaredExtension], injector: Injector) -> Dict[Tuple[str, int], Extension]:
    """By name and version.

    Raises PluginInvalid for a contract that is none, for what is missing of it or differs, and for annotations that
    cannot be injected.
    """
    points: Dict[Tuple[str, int], Point] = {}
    found: Dict[Tuple[str, int], Dict[str, Implementation]] = {}
    for each in declared:
        point, implementations = _implementations(each, injector)
        key = (point.name, point.version)
        points.setdefault(key, point)
        methods = found.setdefault(key, {})
        for implementation in implementations:
            if implementation.method.name in methods:
                raise PluginInvalid(
                    f"{implementation.name} is implemented twice; a plugin answers once, put both into one function"
                )
            methods[implementation.method.name] = implementation
    for key, point in points.items():
        _check_complete(point, set(found[key]))
    return {key: Extension(point, found[key]) for key, point in points.items()}


def _implementations(declared: DeclaredExtension, injector: Injector) -> Tuple[Point, Tuple[Implementation, ...]]:
    try:
        if not isinstance(declared.contract, type):
            point, method = method_of(declared.contract)
            return point, (_of_function(point, method, declared.implementation, injector),)
        whole = point_of(declared.contract)
    except ContractInvalid as error:
        raise PluginInvalid(str(error)) from error
    if whole is None:
        raise PluginInvalid(
            f"{declared.contract.__name__} is no extension point; write "
            '@extension_point("its name", version=1) above it'
        )
    return whole, tuple(_of_class(whole, declared.implementation, injector))


def _of_function(point: Point, method: TypedMethod, function: Any, injector: Injector) -> Implementation:
    place = f"{function.__name__} ({point.name}.{method.name})"
    _check(place, method, function)
    plan = injector.plan(function, place, leave=frozenset(method.written.names))
    return Implementation(point, method, function, plan)


def _of_class(point: Point, class_: type, injector: Injector) -> Iterable[Implementation]:
    constructor = _constructor(class_)
    making = Plan(())
    if constructor is not None:
        making = injector.plan(constructor, f"{class_.__name__}()", leave=_receiver(constructor))
    for name, method in point.methods.items():
        function = inspect.getattr_static(class_, name, None)
        place = f"{class_.__name__}.{name}"
        if function is None or owner_of(function) is not None:
            raise PluginInvalid(f"{class_.__name__} implements {point.name}, and has no method {name!r}; write it")
        if not inspect.isfunction(function):
            raise PluginInvalid(f"{place}: it implements {point.name}.{name}, so it is a plain method: def, with self")
        receiver = _receiver(function)
        _check(place, method, function, receiver)
        plan = injector.plan(function, place, leave=frozenset(method.written.names) | receiver)
        yield Implementation(point, method, function, plan, class_, making)


def _check(place: str, method: TypedMethod, function: Any, receiver: Iterable[str] = ()) -> None:
    """Whatever else it takes is injected."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PluginInvalid(f"{place}: it returns one answer, and yields; collect into a list and return that")
    taken = {each.name: each for each in parameters_of(function, place, leave=frozenset(receiver))}
    for wanted in method.written.parameters:
        mine = taken.get(wanted.name)
        shown = f"{wanted.name}: {_shown(wanted.annotation)}"
        if mine is None:
            raise PluginInvalid(f"{place}: it lacks a parameter that the contract has; write {shown}")
        if not same_type(mine.annotation, wanted.annotation):
            raise PluginInvalid(f"{place}: it has {wanted.name!r} with another type than the contract; write {shown}")
    if not same_type(result_annotation(function, place), method.written.result):
        result = _shown(method.written.result)
        raise PluginInvalid(f"{place}: it returns another type than in the contract; write -> {result}")


def _check_complete(point: Point, implemented: Set[str]) -> None:
    missing = [name for name in point.methods if name not in implemented]
    if missing:
        source = point.contract.source.__name__
        raise PluginInvalid(
            f"the plugin implements {', '.join(sorted(implemented))} of {point.name}, and not {', '.join(missing)}; "
            f"write @plugin.implements({source}.{missing[0]}) above a function"
        )


def _constructor(class_: type) -> Optional[Callable[..., Any]]:
    """None: it takes nothing. Those of Protocols, which the typing module makes, do not count."""
    for each in class_.__mro__[:-1]:
        found = vars(each).get("__init__")
        if found is not None and not getattr(each, "_is_protocol", False):
            return found  # type: ignore[no-any-return]  # it is a function
    return None


def _receiver(function: Callable[..., Any]) -> frozenset[str]:
    """ "self", however it is named."""
    return frozenset(list(inspect.signature(function).parameters)[:1])


def _shown(annotation: Any) -> str:
    return "None" if annotation is type(None) else inspect.formatannotation(annotation)


def _defaults(method: TypedMethod) -> Dict[str, Any]:
    return {
        each.name: each.default for each in method.written.parameters if each.default is not inspect.Parameter.empty
    }
