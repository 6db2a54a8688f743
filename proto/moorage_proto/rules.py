"""Access rules of the contract, compiled to functions that the gate, and the testing kit, evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Tuple

from google.protobuf.message import Message

from moorage_proto import capability
from moorage_proto.capability import Capability
from moorage_proto.methods import Method, field_values

#: A registered pure function: which rights does this request need?
Classifier = Callable[[Any], Tuple[Capability, ...]]


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
    if not needs or not all(need.resource_paths for need in needs):
        raise AccessRuleMissing(method.path, "it names no resource")
    for need in needs:
        for path in need.resource_paths:
            _check_path(method, path)
    pairs = tuple((need.verb, path) for need in needs for path in need.resource_paths)
    has_backend = "backend" in method.request.DESCRIPTOR.fields_by_name
    if len(pairs) == 1 and "." not in pairs[0][1] and not _is_repeated(method, pairs[0][1]):
        return _single(pairs[0][0], pairs[0][1], has_backend)

    def classify(request: Message) -> Tuple[Capability, ...]:
        backend = str(request.backend) if has_backend else ""  # type: ignore[attr-defined]  # has_backend says so
        return tuple(
            capability.need(verb, value, backend=backend)
            for verb, path in pairs
            for value in field_values(request, path)
        )

    return classify


def _single(verb: str, field: str, has_backend: bool) -> Classifier:
    """The common case, one plain field, without the walk along the path: every call passes here."""

    def classify(request: Any) -> Tuple[Capability, ...]:
        backend = request.backend if has_backend else ""
        return (capability.need(verb, getattr(request, field), backend=backend),)

    return classify


def _check_path(method: Method[Any, Any], path: str) -> None:
    descriptor = method.request.DESCRIPTOR
    for part in path.split("."):
        field = descriptor.fields_by_name.get(part) if descriptor is not None else None
        if field is None:
            raise AccessRuleMissing(method.path, f"{method.request.DESCRIPTOR.name} has no field {path!r}")
        descriptor = field.message_type


def _is_repeated(method: Method[Any, Any], name: str) -> bool:
    field = method.request.DESCRIPTOR.fields_by_name[name]
    # `label` went away in protobuf 7; `is_repeated` came in 6.
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED) if repeated is None else bool(repeated)
