"""Methods of the contract as typed values: path, message classes, streams, access rule. Read from the descriptors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, Generic, Mapping, Optional, Tuple, Type, TypeVar

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.message import Message

from moorage_proto import access_pb2

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)

_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

#: Option 51712, as it stands in a method's options.
_BULK_IS_TRUE = b"\x80\xa0\x19\x01"


@dataclass(frozen=True)
class Method(Generic[Request, Reply]):
    """One method of a service."""

    #: As gRPC writes it: "/moorage.v1.KafkaService/Produce".
    path: str
    #: As Python writes it: "produce".
    name: str
    request: Type[Request]
    reply: Type[Reply]
    client_streaming: bool
    server_streaming: bool
    bulk: bool
    #: None where the contract declares no rule: methods that the host calls on a worker.
    access: Optional[access_pb2.Access]


def methods_of(service: Any) -> Mapping[str, Method[Any, Any]]:
    """The methods of a ServiceDescriptor, by their Python names."""
    found: Dict[str, Method[Any, Any]] = {}
    protos = _method_protos(service)
    for descriptor in service.methods:
        # Descriptors tell of streams only from protobuf 4.22 on, and of options only those of the default pool; their
        # own proto does in every version.
        proto = protos[descriptor.name]
        options = proto.options
        name = python_name(descriptor.name)
        found[name] = Method(
            path=f"/{service.full_name}/{descriptor.name}",
            name=name,
            request=_message_class(descriptor.input_type),
            reply=_message_class(descriptor.output_type),
            client_streaming=proto.client_streaming,
            server_streaming=proto.server_streaming,
            bulk=options.Extensions[access_pb2.bulk],
            access=options.Extensions[access_pb2.access] if options.HasExtension(access_pb2.access) else None,
        )
    return found


def service_methods(module: Any, service: str) -> Mapping[str, Method[Any, Any]]:
    """The methods of a service of a generated module: ``service_methods(kafka_pb2, "KafkaService")``."""
    return methods_of(module.DESCRIPTOR.services_by_name[service])


class TooManyValues(ValueError):
    """Of one field of a message, with those in the messages in it."""


def field_values(message: Message, path: str, most: Optional[int] = None) -> Tuple[str, ...]:
    """The values at a dotted path of a message as text; of repeated fields, every one.

    Raises TooManyValues before it looks at more than ``most`` of them.
    """
    found: Tuple[Any, ...] = (message,)
    for part in path.split("."):
        if most is not None and sum(_count(getattr(holder, part)) for holder in found) > most:
            raise TooManyValues
        found = tuple(value for holder in found for value in _values(holder, part))
    return tuple(str(value) for value in found)


def _count(value: Any) -> int:
    return 1 if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") else len(value)


def _values(holder: Any, part: str) -> Tuple[Any, ...]:
    value = getattr(holder, part)
    # A repeated field of messages has a length and no __iter__; a message has neither.
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return (value,)
    return tuple(value)


def python_name(name: str) -> str:
    """Of a method: "SendMany" is "send_many"."""
    return _CAPITAL.sub("_", name).lower()


def _message_class(descriptor: Any) -> Type[Message]:
    """The one class of a message. The public way to it was renamed in protobuf 4.22."""
    factories: Any = message_factory
    found: Type[Message]
    if hasattr(factories, "GetMessageClass"):
        found = factories.GetMessageClass(descriptor)
    else:
        # A factory makes another class each time, so one that was made is used again. What is raised where there is
        # none yet depends on the implementation: pure Python, C++, upb.
        try:
            found = descriptor._concrete_class  # noqa: SLF001
        except (AttributeError, TypeError, SystemError):
            found = factories.MessageFactory(descriptor.file.pool).GetPrototype(descriptor)
    return found


def _method_protos(service: Any) -> Mapping[str, Any]:
    """From the file: pure Python's descriptors of what was built at run time cannot be copied to a proto."""
    file = descriptor_pb2.FileDescriptorProto.FromString(service.file.serialized_pb)
    found = next(proto for proto in file.service if proto.name == service.name)
    return {method.name: method for method in found.method}


def _tell_of_options() -> None:
    """Makes method options readable in pure Python before protobuf 4.22.

    That one reads the extensions that it was told of, and code generated for newer versions no longer tells it. It is
    what protobuf 3.20 is on a Python that it has no compiled wheel for.
    """
    made: Any = descriptor_pb2.MethodOptions
    if not made.FromString(_BULK_IS_TRUE).HasExtension(access_pb2.bulk):
        for extension in (access_pb2.access, access_pb2.bulk):
            made.RegisterExtension(extension)


_tell_of_options()
