"""A message as its sections (part 3, section 3.2). The body is kept as the bytes that arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from moorage.broker.services.servicebus.peer.codec import Decoder, Described, Malformed, UInt, ULong, encode

HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES = range(0x70, 0x75)
DATA, SEQUENCE, VALUE, FOOTER = range(0x75, 0x79)

#: Message format of Service Bus: each data section is a whole message.
BATCH_FORMAT = 0x80013700

#: In the header section.
_DURABLE, _PRIORITY, _TTL, _FIRST_ACQUIRER, _DELIVERY_COUNT = range(5)


@dataclass(slots=True)
class Message:
    header: list[Any] = field(default_factory=list)
    annotations: dict[Any, Any] = field(default_factory=dict)
    #: The encoded section, or nothing.
    properties: bytes = b""
    application_properties: dict[Any, Any] = field(default_factory=dict)
    #: What they took as they arrived.
    application_bytes: int = 0
    #: Encoded sections.
    body: bytes = b""

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """Raises Malformed."""
        message = cls()
        for code, value, raw in sections(data):
            if code == HEADER:
                message.header = _expected(list, value)
            elif code == ANNOTATIONS:
                message.annotations = _expected(dict, value)
            elif code == PROPERTIES:
                _expected(list, value)
                message.properties = raw
            elif code == APPLICATION_PROPERTIES:
                message.application_properties = _expected(dict, value)
                message.application_bytes = len(raw)
            elif code in (DATA, SEQUENCE, VALUE):
                message.body += raw
        if not message.body:
            raise Malformed("a message has no body section")
        return message

    @property
    def time_to_live_millis(self) -> int | None:
        found = self.header[_TTL] if len(self.header) > _TTL else None
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    @property
    def size(self) -> int:
        """About the bytes that it takes; annotations that a broker adds are few."""
        return len(self.body) + len(self.properties) + self.application_bytes

    def encode(self, delivery_count: int) -> bytes:
        header = (self.header + [None] * 5)[:5]
        header[_DELIVERY_COUNT] = UInt(delivery_count)
        parts = [encode(Described(ULong(HEADER), header))]
        if self.annotations:
            parts.append(encode(Described(ULong(ANNOTATIONS), self.annotations)))
        parts.append(self.properties)
        if self.application_properties:
            parts.append(encode(Described(ULong(APPLICATION_PROPERTIES), self.application_properties)))
        parts.append(self.body)
        return b"".join(parts)

    def copy(self) -> Message:
        """For another queue, which adds its own annotations."""
        return Message(
            list(self.header),
            dict(self.annotations),
            self.properties,
            dict(self.application_properties),
            self.application_bytes,
            self.body,
        )


def sections(data: bytes) -> Iterator[tuple[int, Any, bytes]]:
    """Code, value and encoded bytes of each section. Raises Malformed."""
    decoder = Decoder(data)
    while not decoder.at_end:
        start = decoder.position
        section = decoder.value()
        if not isinstance(section, Described) or not isinstance(section.descriptor, int):
            raise Malformed("a message has something between its sections")
        yield int(section.descriptor), section.value, data[start : decoder.position]


def batched(data: bytes) -> list[bytes]:
    """The messages of a batch. Raises Malformed."""
    found = [value for code, value, _ in sections(data) if code == DATA]
    if not found or not all(isinstance(value, bytes) for value in found):
        raise Malformed("a batch holds no messages")
    return found


def request_parts(data: bytes) -> tuple[Any, dict[str, Any], Any]:
    """Of a request to ``$cbs`` or ``$management``: message id, application properties, value. Raises Malformed."""
    message_id: Any = None
    application_properties: dict[str, Any] = {}
    body: Any = None
    for code, value, _ in sections(data):
        if code == PROPERTIES:
            fields = _expected(list, value)
            message_id = fields[0] if fields else None
        elif code == APPLICATION_PROPERTIES:
            application_properties = {str(key): item for key, item in _expected(dict, value).items()}
        elif code == VALUE:
            body = value
    return message_id, application_properties, body


def reply_bytes(correlation_id: Any, application_properties: dict[str, Any], value: Any) -> bytes:
    properties: list[Any] = [None] * 5 + [correlation_id]
    return b"".join(
        encode(Described(ULong(code), section))
        for code, section in (
            (PROPERTIES, properties),
            (APPLICATION_PROPERTIES, application_properties),
            (VALUE, value),
        )
    )


def _expected(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise Malformed(f"a section of a message is no {kind.__name__}")
    return value
