"""A contract in typed Python, compiled to a proto service like any other: descriptors, messages, access rules.

Nothing here serves or calls: hosts and plugins both compile, and both get the same file.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple, Type

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message

from moorage_proto import access_pb2, typed_pb2
from moorage_proto.annotations import AnnotationUnsupported, same_type
from moorage_proto.errors import ServiceError
from moorage_proto.methods import Method, methods_of, python_name
from moorage_proto.typed import signature
from moorage_proto.typed.access import access_of
from moorage_proto.typed.declare import Declared, ServiceDeclared, declared, rules_of
from moorage_proto.typed.errors import ContractInvalid
from moorage_proto.typed.records import Reading, Record
from moorage_proto.typed.signature import Written
from moorage_proto.typed.types import NO_DEFAULT, Messages

#: The package of all contracts in typed Python; then comes the service's name.
PACKAGE = "moorage.own"

#: Of a class that serves what it declares: not methods of the service.
LIFE = frozenset({"open", "close"})

_RESULT = "result"


@dataclass(frozen=True)
class TypedMethod:
    """One method: from arguments to the messages that cross, and back. Those that convert raise ValueUnfit."""

    written: Written
    method: Method[Any, Any]
    _request: Record
    _reply: Record

    @property
    def name(self) -> str:
        return self.written.name

    def request(self, arguments: Mapping[str, Any]) -> Message:
        """Of a call; of a stream of requests, one item under the parameter's name."""
        message: Message = self.method.request()
        self._request.fill(message, arguments, "")
        return message

    def bound(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """The arguments of a call by name, with the defaults. Raises TypeError as the function itself would."""
        try:
            found = self.written.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() cannot be called like this: {error}") from None
        found.apply_defaults()
        return found.arguments

    def arguments(self, request: Message) -> Dict[str, Any]:
        """Those that are absent are left out: the function that serves has defaults for them."""
        found: Dict[str, Any] = self._request.read(request, "", Reading())
        return found

    def reply(self, result: Any) -> Message:
        """Of a result; of a stream of replies, of one item."""
        message: Message = self.method.reply()
        self._reply.fill(message, {_RESULT: result} if self._reply.slots else {}, "")
        return message

    def result(self, reply: Message) -> Any:
        return self._reply.read(reply, "", Reading()).get(_RESULT)


@dataclass(frozen=True)
class Contract:
    """A compiled contract."""

    #: "billing"
    name: str
    #: The class that it was read from.
    source: type
    #: The whole of it as protobuf knows it.
    file: Any
    #: The ServiceDescriptor.
    service: Any
    #: By their Python names.
    methods: Mapping[str, TypedMethod]
    #: By kind.
    errors: Mapping[str, Type[ServiceError]] = field(default_factory=dict)

    @property
    def serialized(self) -> bytes:
        data: bytes = self.file.SerializeToString(deterministic=True)
        return data


def contract_of(class_: Any) -> Optional[Contract]:
    """Of a class under ``@service``; compiled once. None: it is under none. Raises ContractInvalid."""
    found = declared(class_)
    if found is None:
        return None
    source = next(each for each in class_.__mro__ if vars(each).get("__moorage_service__") is found)
    made = _compiled.get(source)
    if made is None:
        made = _compiled[source] = _compile_service(source, found)
    return made


_compiled: Dict[type, Contract] = {}


def _compile_service(source: type, found: ServiceDeclared) -> Contract:
    if found.twin is None:
        functions = dict(public_methods(source))
        return compile_contract(
            source, found.name, {name: rules_of(each) for name, each in functions.items()}, found.errors
        )
    twin = contract_of(found.twin)
    assert twin is not None
    names = dict(public_methods(source))
    different = set(names) ^ set(twin.methods)
    if different:
        raise ContractInvalid(
            source.__name__,
            f"it is another form of {found.twin.__name__}, and only one of them has {', '.join(sorted(different))}",
        )
    rules = {name: rules_of(getattr(found.twin, name)) for name in twin.methods}
    made = compile_contract(source, found.name, rules, found.errors, order=tuple(twin.methods))
    for name, method in made.methods.items():
        if not _same(method, twin.methods[name]):
            raise ContractInvalid(
                f"{source.__name__}.{name}",
                f"it differs from {found.twin.__name__}.{name}; write the same parameters with the same types and "
                "defaults, and the same result",
            )
    return made


def _same(one: TypedMethod, other: TypedMethod) -> bool:
    mine, theirs = one.written, other.written
    if (mine.requests_stream, mine.replies_stream) != (theirs.requests_stream, theirs.replies_stream):
        return False
    if [(each.name, each.default) for each in mine.parameters] != [
        (each.name, each.default) for each in theirs.parameters
    ]:
        return False
    pairs = [(each.annotation, found.annotation) for each, found in zip(mine.parameters, theirs.parameters)]
    return all(same_type(*pair) for pair in (*pairs, (mine.result, theirs.result)))


def compile_contract(
    source: type,
    name: str,
    rules: Optional[Mapping[str, Tuple[Declared, ...]]],
    errors: Tuple[Type[ServiceError], ...] = (),
    *,
    order: Tuple[str, ...] = (),
) -> Contract:
    """``rules`` by method; None: the methods are the host's to call, and have no access rule.

    Raises ContractInvalid.
    """
    package = f"{PACKAGE}.{name}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3"
    )
    file.dependency.extend(module.DESCRIPTOR.name for module in (access_pb2, typed_pb2))
    service = file.service.add(name=_camel(name.rpartition(".")[2]))
    messages = Messages(package, service.name)
    functions = dict(public_methods(source))
    if not functions:
        raise ContractInvalid(source.__name__, "it has no methods, so there is nothing to call")
    parts = [
        _compile_method(f"{source.__name__}.{each}", functions[each], messages, service, rules)
        for each in order or functions
    ]
    file.message_type.extend(messages.protos)
    descriptor = _descriptor(file, service.name)
    methods = methods_of(descriptor)
    return Contract(
        name,
        source,
        file,
        descriptor,
        {
            written.name: TypedMethod(written, methods[written.name], request, reply)
            for written, request, reply in parts
        },
        {error.__name__: error for error in errors},
    )


def public_methods(source: type) -> Iterator[Tuple[str, Callable[..., Any]]]:
    """The functions of a class and those above it whose names do not begin with _, in the order of writing."""
    seen: Dict[str, Any] = {}
    for class_ in reversed(source.__mro__[:-1]):
        if class_.__module__ in ("typing", "typing_extensions"):
            continue
        seen.update(vars(class_))
    for name, found in seen.items():
        if not name.startswith("_") and inspect.isfunction(found) and (name not in LIFE or rules_of(found)):
            yield name, found


def _compile_method(
    place: str,
    function: Callable[..., Any],
    messages: Messages,
    service: Any,
    rules: Optional[Mapping[str, Tuple[Declared, ...]]],
) -> Tuple[Written, Record, Record]:
    written = signature.read(place, function)
    name = _camel(written.name)
    if written.name in LIFE or python_name(name) != written.name:
        raise ContractInvalid(place, "this name cannot cross; name it otherwise, such as charge or charge_all")
    try:
        request = messages.message(
            f"{name}Request",
            (
                messages.slot(each.name, number, each.annotation, _default(each.default))
                for number, each in enumerate(written.parameters, 1)
            ),
        )
        results = () if written.result is type(None) else (messages.slot(_RESULT, 1, written.result),)
        reply = messages.message(f"{name}Item" if written.replies_stream else f"{name}Reply", results)
    except AnnotationUnsupported as error:
        raise ContractInvalid(place, str(error)) from None
    made = service.method.add(
        name=name,
        input_type=f".{messages.package}.{request.name}",
        output_type=f".{messages.package}.{reply.name}",
        client_streaming=written.requests_stream,
        server_streaming=written.replies_stream,
    )
    if rules is not None:
        made.options.Extensions[access_pb2.access].CopyFrom(access_of(place, rules[written.name], request))
    return written, request, reply


def _default(default: Any) -> Any:
    return NO_DEFAULT if default is inspect.Parameter.empty else default


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _descriptor(file: Any, service: str) -> Any:
    """In a pool of its own: a process may know two versions of a contract, and both forms of one."""
    pool = descriptor_pool.DescriptorPool()
    for module in (descriptor_pb2, access_pb2, typed_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName(file.name).services_by_name[service]


def _tell_of_options() -> None:
    """As in ``methods``: pure Python before protobuf 4.22 reads the extensions that it was told of."""
    made: Any = descriptor_pb2.FieldOptions
    # typed {required: true}
    if not made.FromString(b"\xca\xa0\x19\x02\x18\x01").HasExtension(typed_pb2.typed):
        made.RegisterExtension(typed_pb2.typed)


_tell_of_options()
