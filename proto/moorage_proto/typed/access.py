"""From what is written above a method to the access rule of the contract."""

from __future__ import annotations

import re
from typing import Sequence

from moorage_proto import access_pb2
from moorage_proto import capability as capabilities
from moorage_proto.typed.declare import Declared
from moorage_proto.typed.errors import ContractInvalid
from moorage_proto.typed.records import Record
from moorage_proto.typed.singles import Single

_FIELD = re.compile(r"\{([^{}]*)\}")
_PART = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(\[\*\])?")


def access_of(place: str, rules: Sequence[Declared], request: Record) -> access_pb2.Access:
    """``place`` names the method in messages. Raises ContractInvalid."""
    kinds = {rule.kind for rule in rules}
    if not kinds:
        raise ContractInvalid(
            place,
            "it declares no right, and no method can exist without its check; write "
            '@capability("service.verb:{parameter}") above it, or @own("why it needs none"); what is no method of the '
            "service begins with _",
        )
    if len(kinds) > 1 or (kinds == {"own"} and len(rules) > 1):
        raise ContractInvalid(place, "@capability, @guarded and @own are three ways to declare one check; choose one")
    if kinds == {"own"}:
        if not rules[0].text.strip():
            raise ContractInvalid(place, "@own says no reason; write why the method needs no right")
        return access_pb2.Access(own_reason=rules[0].text)
    if kinds == {"guarded"}:
        verbs = [_verb(place, rule.text) for rule in rules]
        return access_pb2.Access(late=access_pb2.Late(verbs=verbs, says=[rule.says for rule in rules]))
    return access_pb2.Access(needs=access_pb2.Needs(all=[_need(place, rule, request) for rule in rules]))


def _need(place: str, rule: Declared, request: Record) -> access_pb2.Need:
    text, colon, resource = rule.text.partition(":")
    if not colon or not resource:
        raise ContractInvalid(place, f"{rule.text!r} names no resource; write service.verb:{{parameter}}")
    need = access_pb2.Need(verb=_verb(place, text), says=rule.says)
    paths = _FIELD.findall(resource)
    whole = len(paths) == 1 and resource == f"{{{paths[0]}}}"
    for path in paths:
        if _check(place, rule.text, path, request) and not whole:
            raise ContractInvalid(place, f"{rule.text!r}: a list is the whole resource: {{{path}}}, and no part of one")
    literal = _FIELD.sub("", resource)
    if set(literal) & set("*{}"):
        raise ContractInvalid(place, f"{rule.text!r}: a call needs one resource; * is for what people grant")
    if whole:
        need.resource_paths.append(paths[0].replace("[*]", ""))
    else:
        need.resource = resource
    return need


def _verb(place: str, text: str) -> str:
    try:
        capabilities.parse(f"{text}:any")
    except capabilities.CapabilityInvalid as error:
        raise ContractInvalid(place, str(error)) from None
    if text in capabilities.SANDBOX_VERBS:
        raise ContractInvalid(place, f"{text} is a right of the sandbox, which no call can need")
    return text


def _check(place: str, text: str, path: str, request: Record) -> bool:
    """Each step must be there in every call, and the end be a text with one spelling. Whether a list is on the way."""
    record, many = request, False
    parts = path.split(".")
    for index, part in enumerate(parts):
        match = _PART.fullmatch(part)
        slot = next((slot for slot in record.slots if match is not None and slot.name == match[1]), None)
        if match is None or slot is None:
            known = ", ".join(slot.name for slot in record.slots) or "none"
            raise ContractInvalid(place, f"{text!r}: there is no {part!r}; there are: {known}")
        if (slot.many is not None) != (match[2] is not None):
            hint = f"{{{match[1]}[*]}}" if slot.many is not None else f"{{{match[1]}}}"
            raise ContractInvalid(place, f"{text!r}: write {hint}: {part!r} is {_what(slot.many is not None)}")
        if slot.many is None and not slot.required:
            problem = f"{text!r}: {part!r} may be left out, and the check needs it; give it no default and no Optional"
            raise ContractInvalid(place, problem)
        many = many or slot.many is not None
        if index == len(parts) - 1:
            _check_end(place, text, part, slot.kind)
        elif isinstance(slot.kind, Record):
            record = slot.kind
        else:
            raise ContractInvalid(place, f"{text!r}: {part!r} has no fields")
    return many


def _check_end(place: str, text: str, part: str, kind: object) -> None:
    if not isinstance(kind, Single) or not kind.names_resources:
        raise ContractInvalid(
            place, f"{text!r}: {part!r} cannot name a resource; a str, int, UUID, date, enum or Literal can"
        )


def _what(is_list: bool) -> str:
    return "a list" if is_list else "one value"
