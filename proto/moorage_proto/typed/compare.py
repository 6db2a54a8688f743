"""Whether a caller's contract and a server's fit each other, so that nothing is lost or taken for something else.

A server may be newer: have more methods, more parameters with defaults, more fields in its replies. It must not be
older: what it does not know of a request it could only drop.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Set, Tuple

from google.protobuf import descriptor_pb2

from moorage_proto import typed_pb2
from moorage_proto.methods import python_name

_Field = descriptor_pb2.FieldDescriptorProto

_NEWER = "the caller was written for a newer contract"


def difference(caller: Any, server: Any) -> str:
    """What keeps them apart, as a sentence without its end; empty: they fit. Of two FileDescriptorProtos."""
    served = {method.name: method for method in server.service[0].method}
    comparison = _Comparison(caller, server)
    for method in caller.service[0].method:
        other = served.get(method.name)
        name = python_name(method.name)
        if other is None:
            return f"there is no method {name!r}: {_NEWER}"
        if (method.client_streaming, method.server_streaming) != (other.client_streaming, other.server_streaming):
            return f"{name} streams on one side, and not on the other"
        problem = comparison.request(method.input_type, other.input_type) or comparison.reply(
            other.output_type, method.output_type
        )
        if problem:
            return f"{name}: {problem}"
    return ""


class _Comparison:
    def __init__(self, caller: Any, server: Any) -> None:
        self._callers = _messages(caller)
        self._servers = _messages(server)
        #: Pairs of messages that were begun, for types that refer to themselves.
        self._seen: Set[Tuple[str, str, bool]] = set()

    def request(self, sent: str, received: str) -> str:
        return self._messages(self._callers, sent, self._servers, received, strict=True)

    def reply(self, sent: str, received: str) -> str:
        return self._messages(self._servers, sent, self._callers, received, strict=False)

    def _messages(
        self, senders: Mapping[str, Any], sent: str, receivers: Mapping[str, Any], received: str, *, strict: bool
    ) -> str:
        if (sent, received, strict) in self._seen:
            return ""
        self._seen.add((sent, received, strict))
        have = {field.number: field for field in senders[sent].field}
        want = {field.number: field for field in receivers[received].field}
        for number in sorted({*have, *want}):
            problem = _fields(have.get(number), want.get(number), number, strict=strict)
            if not problem and number in have and number in want and have[number].type == _Field.TYPE_MESSAGE:
                inner = self._messages(
                    senders, have[number].type_name, receivers, want[number].type_name, strict=strict
                )
                problem = f"{have[number].name}: {inner}" if inner else ""
            if problem:
                return problem
        return ""


def _messages(file: Any) -> Dict[str, Any]:
    return {f".{file.package}.{message.name}": message for message in file.message_type}


def _fields(sent: Optional[Any], received: Optional[Any], number: int, *, strict: bool) -> str:
    if received is None:
        assert sent is not None
        return f"the receiver has no {sent.name!r}: {_NEWER}" if strict else ""
    typed = received.options.Extensions[typed_pb2.typed]
    if sent is None:
        return f"{received.name!r} is missing, and has no default" if typed.required else ""
    if sent.name != received.name:
        return f"number {number} is {sent.name!r} for the sender and {received.name!r} for the receiver"
    other = sent.options.Extensions[typed_pb2.typed]
    if (sent.type, sent.label, other.form) != (received.type, received.label, typed.form):
        return f"{sent.name!r} has another type for the sender than for the receiver"
    more = [text for text in other.choices if text not in typed.choices]
    if more and strict:
        return f"{sent.name!r} may be {' or '.join(more)}, which the receiver does not know: {_NEWER}"
    if typed.required and other.optional:
        return f"{sent.name!r} may be None for the sender, and not for the receiver"
    return ""
