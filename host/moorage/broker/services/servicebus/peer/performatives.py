"""What frames carry (part 2, section 2.7), and how deliveries end (part 3, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from moorage.broker.services.servicebus.peer.codec import (
    Array,
    Described,
    Malformed,
    Symbol,
    UByte,
    UInt,
    ULong,
    UShort,
)

_Wire = tuple[tuple[str, type], ...]


class Performative:
    """Fields stand in the order of the wire; those that come after the last that is used here are left out."""

    CODE: ClassVar[int]
    WIRE: ClassVar[_Wire]


@dataclass(slots=True)
class Open(Performative):
    CODE = 0x10
    WIRE: ClassVar[_Wire] = (
        ("container_id", str),
        ("hostname", str),
        ("max_frame_size", UInt),
        ("channel_max", UShort),
        ("idle_time_out", UInt),
    )

    container_id: str
    hostname: str | None = None
    max_frame_size: int | None = None
    channel_max: int | None = None
    #: Milliseconds without a frame after which the sender of this gives the connection up.
    idle_time_out: int | None = None


@dataclass(slots=True)
class Begin(Performative):
    CODE = 0x11
    WIRE: ClassVar[_Wire] = (
        ("remote_channel", UShort),
        ("next_outgoing_id", UInt),
        ("incoming_window", UInt),
        ("outgoing_window", UInt),
        ("handle_max", UInt),
    )

    remote_channel: int | None = None
    next_outgoing_id: int = 0
    incoming_window: int = 0
    outgoing_window: int = 0
    handle_max: int | None = None


@dataclass(slots=True)
class Attach(Performative):
    CODE = 0x12
    WIRE: ClassVar[_Wire] = (
        ("name", str),
        ("handle", UInt),
        ("is_receiver", bool),
        ("snd_settle_mode", UByte),
        ("rcv_settle_mode", UByte),
        ("source", object),
        ("target", object),
        ("unsettled", object),
        ("incomplete_unsettled", object),
        ("initial_delivery_count", UInt),
        ("max_message_size", ULong),
    )

    name: str
    handle: int
    is_receiver: bool
    snd_settle_mode: int | None = None
    rcv_settle_mode: int | None = None
    source: Any = None
    target: Any = None
    unsettled: Any = None
    incomplete_unsettled: Any = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None


@dataclass(slots=True)
class Flow(Performative):
    CODE = 0x13
    WIRE: ClassVar[_Wire] = (
        ("next_incoming_id", UInt),
        ("incoming_window", UInt),
        ("next_outgoing_id", UInt),
        ("outgoing_window", UInt),
        ("handle", UInt),
        ("delivery_count", UInt),
        ("link_credit", UInt),
        ("available", UInt),
        ("drain", bool),
        ("echo", bool),
    )

    next_incoming_id: int | None = None
    incoming_window: int = 0
    next_outgoing_id: int = 0
    outgoing_window: int = 0
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool = False
    echo: bool = False


@dataclass(slots=True)
class Transfer(Performative):
    CODE = 0x14
    WIRE: ClassVar[_Wire] = (
        ("handle", UInt),
        ("delivery_id", UInt),
        ("delivery_tag", bytes),
        ("message_format", UInt),
        ("settled", bool),
        ("more", bool),
        ("rcv_settle_mode", UByte),
        ("state", object),
        ("resume", bool),
        ("aborted", bool),
    )

    handle: int
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool = False
    more: bool = False
    rcv_settle_mode: int | None = None
    state: Any = None
    resume: bool = False
    aborted: bool = False


@dataclass(slots=True)
class Disposition(Performative):
    CODE = 0x15
    WIRE: ClassVar[_Wire] = (
        ("is_receiver", bool),
        ("first", UInt),
        ("last", UInt),
        ("settled", bool),
        ("state", object),
    )

    is_receiver: bool
    first: int
    last: int | None = None
    settled: bool = False
    state: Any = None


@dataclass(slots=True)
class Detach(Performative):
    CODE = 0x16
    WIRE: ClassVar[_Wire] = (
        ("handle", UInt),
        ("closed", bool),
        ("error", object),
    )

    handle: int
    closed: bool = False
    error: Any = None


@dataclass(slots=True)
class End(Performative):
    CODE = 0x17
    WIRE: ClassVar[_Wire] = (("error", object),)

    error: Any = None


@dataclass(slots=True)
class Close(Performative):
    CODE = 0x18
    WIRE: ClassVar[_Wire] = (("error", object),)

    error: Any = None


@dataclass(slots=True)
class SaslMechanisms(Performative):
    CODE = 0x40
    WIRE: ClassVar[_Wire] = (("mechanisms", Array),)

    mechanisms: Array


@dataclass(slots=True)
class SaslInit(Performative):
    CODE = 0x41
    WIRE: ClassVar[_Wire] = (("mechanism", Symbol),)

    mechanism: Symbol


@dataclass(slots=True)
class SaslOutcome(Performative):
    CODE = 0x44
    WIRE: ClassVar[_Wire] = (("code", UByte),)

    code: int


_KINDS: dict[int, type[Performative]] = {
    kind.CODE: kind
    for kind in (
        *(Open, Begin, Attach, Flow, Transfer, Disposition, Detach, End, Close),
        *(SaslMechanisms, SaslInit, SaslOutcome),
    )
}

RECEIVED, ACCEPTED, REJECTED, RELEASED, MODIFIED = range(0x23, 0x28)
ERROR = 0x1D


class AmqpError(Exception):
    """What a peer is told of a link, session or connection that it cannot have, or of a delivery that was refused."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(description)
        self.condition = condition
        self.description = description

    def described(self) -> Described:
        # Azure's client looks at the third field, too.
        return Described(ULong(ERROR), [Symbol(self.condition), self.description, None])


def outcome(code: int, *fields: Any) -> Described:
    return Described(ULong(code), list(fields))


def rejected(error: AmqpError) -> Described:
    return outcome(REJECTED, error.described())


def from_described(value: Any) -> Performative:
    """Raises Malformed."""
    kind = _KINDS.get(value.descriptor) if isinstance(value, Described) and _is_code(value.descriptor) else None
    if kind is None or not isinstance(value.value, list):
        raise Malformed("a frame carries no performative of AMQP 1.0")
    given = {
        name: _checked(kind, name, expected, field)
        for (name, expected), field in zip(kind.WIRE, value.value, strict=False)
        if field is not None
    }
    try:
        return kind(**given)
    except TypeError as error:
        raise Malformed(f"a field of {kind.__name__} is missing: {error}") from error


def to_described(performative: Performative) -> Described:
    fields = [_typed(expected, getattr(performative, name)) for name, expected in performative.WIRE]
    while fields and fields[-1] is None:
        fields.pop()
    return Described(ULong(performative.CODE), fields)


def _is_code(descriptor: Any) -> bool:
    return isinstance(descriptor, int) and not isinstance(descriptor, bool)


def _checked(kind: type[Performative], name: str, expected: type, value: Any) -> Any:
    """Integers of any width are taken; they are bounded by what they are used for."""
    wanted = int if issubclass(expected, int) and expected is not bool else expected
    if wanted is int and isinstance(value, bool):
        raise Malformed(f"{name} of {kind.__name__} is no number")
    if not isinstance(value, wanted) or (isinstance(value, int) and wanted is int and not 0 <= value < 2**64):
        raise Malformed(f"{name} of {kind.__name__} is of another type")
    return value


def _typed(expected: type, value: Any) -> Any:
    if value is None or expected in (object, bool):
        return value
    return expected(value)
