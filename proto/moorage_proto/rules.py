"""Access rules of the contract, compiled to functions that the gate, and the testing kit, evaluate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Tuple

from google.protobuf.message import Message

from moorage_proto import capability
from moorage_proto.capability import Capability
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.methods import Method, TooManyValues, field_values

#: A registered pure function: which rights does this request need? Raises CallError for one that cannot be decided on.
Classifier = Callable[[Any], Tuple[Capability, ...]]

#: Of one request, for one need: to decide on each of millions would hold up the host.
MAX_RESOURCES = 10_000

#: The resources that one need names in a request.
_Resources = Callable[[Message], Tuple[str, ...]]

_FIELD = re.compile(r"\{([^{}]*)\}")


class AccessRuleMissing(RuntimeError):
    """A brokered method declares no access rule, or one that cannot be evaluated."""

    def __init__(self, method: str, problem: str) -> None:
        super().__init__(f"{method} has no usable access rule: {problem}; declare option (access) in its .proto file")


@dataclass(frozen=True)
class Rule:
    """How calls of one method are decided. Exactly one of the four ways is set, or ``own``."""

    needs: Optional[Classifier] = None
    #: Verbs among which the handler's guard must decide.
    late_verbs: Tuple[str, ...] = ()
    #: Path of the request field with the handle.
    handle: str = ""
    own: bool = False


def compile_rule(method: Method[Any, Any], classifiers: Mapping[str, Classifier]) -> Rule:
    """The rule of one method.

    Raises AccessRuleMissing; the host calls it for every method when it starts, so a missing check stops the host.
    """
    access = method.access
    kind = access.WhichOneof("rule") if access is not None else None
    if access is None or kind is None:
        raise AccessRuleMissing(method.path, "none is declared")
    if kind == "needs":
        return Rule(needs=_needs_from_fields(method, tuple(access.needs.all)))
    if kind == "classify":
        if access.classify not in classifiers:
            raise AccessRuleMissing(method.path, f"no classifier named {access.classify!r} is registered")
        return Rule(needs=classifiers[access.classify])
    if kind == "late":
        if not access.late.verbs:
            raise AccessRuleMissing(method.path, "it names no verbs")
        return Rule(late_verbs=tuple(access.late.verbs))
    if kind == "handle":
        _check_path(method, access.handle)
        return Rule(handle=access.handle)
    if not access.own_reason.strip():
        raise AccessRuleMissing(method.path, "own_reason says nothing")
    return Rule(own=True)


def _needs_from_fields(method: Method[Any, Any], needs: Tuple[Any, ...]) -> Classifier:
    if not needs or not all(bool(need.resource_paths) != bool(need.resource) for need in needs):
        raise AccessRuleMissing(method.path, "it names no resource, or both paths and a text")
    has_backend = "backend" in method.request.DESCRIPTOR.fields_by_name
    simple = needs[0].resource_paths[0] if len(needs) == 1 and len(needs[0].resource_paths) == 1 else ""
    if simple and "." not in simple and not is_repeated(_check_path(method, simple)):
        return _single(needs[0].verb, simple, has_backend)
    resources: List[Tuple[str, _Resources]] = []
    for need in needs:
        resources += [(need.verb, _at_path(method, path)) for path in need.resource_paths]
        if need.resource:
            resources.append((need.verb, _from_text(method, need.resource)))

    def classify(request: Message) -> Tuple[Capability, ...]:
        backend = str(request.backend) if has_backend else ""  # type: ignore[attr-defined]  # has_backend says so
        return tuple(
            capability.need(verb, resource, backend=backend) for verb, named in resources for resource in named(request)
        )

    return classify


def _at_path(method: Method[Any, Any], path: str) -> _Resources:
    _check_path(method, path)

    def named(request: Message) -> Tuple[str, ...]:
        try:
            return field_values(request, path, MAX_RESOURCES)
        except TooManyValues:
            raise _refused(method, f"it names more than {MAX_RESOURCES:,} resources; make several calls") from None

    return named


def _from_text(method: Method[Any, Any], text: str) -> _Resources:
    """With several fields, no value may be read as the end of one field and the beginning of the next."""
    between = _FIELD.split(text)[::2]
    paths = _FIELD.findall(text)
    for path in paths:
        if is_repeated(_check_path(method, path)):
            raise AccessRuleMissing(method.path, f"{path!r} has many values, and one is put into {text!r}")
    if any(not sign for sign in between[1:-1]):
        raise AccessRuleMissing(method.path, f"in {text!r} fields follow each other, so nothing tells them apart")
    signs = {sign for part in between[1:-1] for sign in part if not sign.isalnum()}
    if len(paths) > 1 and not signs:
        raise AccessRuleMissing(method.path, f"in {text!r} no sign such as / stands between fields to tell them apart")

    def named(request: Message) -> Tuple[str, ...]:
        values = [field_values(request, path)[0] for path in paths]
        for path, value in zip(paths, values):
            if not signs.isdisjoint(value):
                listed = " or ".join(sorted(signs))
                problem = f"{path} must not hold {listed}, which stands between the parts of the capability it needs"
                raise _refused(method, problem)
        return ("".join(part + value for part, value in zip(between, [*values, ""])),)

    return named


def _refused(method: Method[Any, Any], problem: str) -> CallError:
    sentence = f"{method.path} cannot be called like this: {problem}."
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)


def _single(verb: str, field: str, has_backend: bool) -> Classifier:
    """The common case, one plain field, without the walk along the path: every call passes here."""

    def classify(request: Any) -> Tuple[Capability, ...]:
        backend = request.backend if has_backend else ""
        return (capability.need(verb, getattr(request, field), backend=backend),)

    return classify


def _check_path(method: Method[Any, Any], path: str) -> Any:
    """The descriptor of the field at the end."""
    descriptor, field = method.request.DESCRIPTOR, None
    for part in path.split("."):
        field = descriptor.fields_by_name.get(part) if descriptor is not None else None
        if field is None:
            raise AccessRuleMissing(method.path, f"{method.request.DESCRIPTOR.name} has no field {path!r}")
        descriptor = field.message_type
    return field


def is_repeated(field: Any) -> bool:
    """Of a field's descriptor."""
    # `label` went away in protobuf 7; `is_repeated` came in 6.
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED) if repeated is None else bool(repeated)
