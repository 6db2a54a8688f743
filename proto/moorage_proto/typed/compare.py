"""Whether a caller's contract and a server's fit each other, so that nothing is lost or taken for something else.

A server may be newer: have more methods, more parameters with defaults, more fields in its replies. It must not be
older: what it does not know of a request it could only drop.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Set, Tuple

from google.protobuf import descriptor_pb2

from moorage_proto import typed_pb2
from moorage_proto.methods import python_name

_Field = descriptor_pb2.FieldDescriptorProto

_NEWER = "the caller was written for a newer contract"


def difference(caller: Any, server: Any, *, older: bool = False) -> str:
    """What keeps them apart, as a sentence without its end; empty: they fit. Of two FileDescriptorProtos, of which the
    server's may hold anything.

    ``older``: that the server is older is known, and what it does not know may be dropped, methods included.
    """
    served = {method.name: method for method in server.service[0].method}
    comparison = _Comparison(caller, server, strict=not older)
    for method in caller.service[0].method:
        other = served.get(method.name)
        name = python_name(method.name)
        if other is None:
            if older:
                continue
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
    def __init__(self, caller: Any, server: Any, *, strict: bool) -> None:
        """``strict``: whether a server has to know all that a caller may send."""
        self._callers = _messages(caller)
        self._servers = _messages(server)
        self._strict = strict
        #: Pairs of messages that were compared, for types that refer to themselves.
        self._seen: Set[Tuple[str, str, bool]] = set()

    def request(self, sent: str, received: str) -> str:
        return self._compare(sent, received, to_server=True)

    def reply(self, sent: str, received: str) -> str:
        return self._compare(sent, received, to_server=False)

    def _compare(self, sent: str, received: str, *, to_server: bool) -> str:
        """Not by calling itself: what a stranger has written may be nested as deep as it likes."""
        senders, receivers = (self._callers, self._servers) if to_server else (self._servers, self._callers)
        strict = to_server and self._strict
        ahead = [(sent, received, "")]
        while ahead:
            sent, received, where = ahead.pop()
            if (sent, received, to_server) in self._seen:
                continue
            self._seen.add((sent, received, to_server))
            if sent not in senders or received not in receivers:
                return f"{where}its type is not in the contract"
            have = {field.number: field for field in senders[sent].field}
            want = {field.number: field for field in receivers[received].field}
            for number in sorted({*have, *want}):
                problem = _fields(have.get(number), want.get(number), number, strict=strict)
                if problem:
                    return f"{where}{problem}"
            ahead += [
                (field.type_name, want[number].type_name, f"{where}{field.name}: ")
                for number, field in sorted(have.items(), reverse=True)
                if number in want and field.type == _Field.TYPE_MESSAGE
            ]
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
