"""Services of an application that are contracts in typed Python: whoever asks for the class is given a client of it."""

from __future__ import annotations

import contextlib
from typing import Any, AsyncIterable, AsyncIterator, Callable, Dict, Iterator, Mapping, Optional, Tuple, Type

from moorage_proto.errors import ServiceError
from moorage_proto.typed import Contract, ContractInvalid, contract_of
from moorage_proto.typed.compare import difference
from moorage_proto.typed.contract import TypedMethod
from moorage_sdk.channel import Channel, ReplyStream
from moorage_sdk.errors import PluginInvalid, service_error
from moorage_sdk.host import HostFacts
from moorage_sdk.services.base import Ask, Provided


class TypedFace:
    """Of one contract class. One client for the worker's life: its calls belong to the scope in which they are made."""

    per_scope = False

    def __init__(self, annotation: str, contract: Contract) -> None:
        self.provides: Tuple[str, ...] = (annotation,)
        self.capability_verbs = _verbs(contract)
        self._client = client_class(contract)

    def make(self, ask: Ask) -> Provided:
        return Provided(self._client(ask.channel))


def typed_face(annotation: Any, name: str) -> Optional[TypedFace]:
    """The face of a class under ``@service``; None for others. ``name``: as faces say what they provide.

    Raises PluginInvalid for a class that cannot be a contract.
    """
    face = _faces.get(annotation) if isinstance(annotation, type) else None
    if face is not None:
        return face
    try:
        contract = contract_of(annotation)
    except ContractInvalid as error:
        raise PluginInvalid(str(error)) from error
    if contract is None:
        return None
    face = _faces[annotation] = TypedFace(name, contract)
    return face


_faces: Dict[type, TypedFace] = {}


def offered(annotation: Any, host: HostFacts) -> bool:
    """Whether the host has the service. Raises PluginInvalid when it has it otherwise than the class says."""
    contract = contract_of(annotation)
    assert contract is not None
    served = host.contracts.get(contract.file.package)
    if served is None:
        return False
    problem = difference(contract.file, served)
    if problem:
        raise PluginInvalid(
            f"{_name(annotation)} is not the service {contract.name!r} of this host: {problem}; install the version of "
            f"{annotation.__module__.partition('.')[0]} that the application uses, or upgrade the application"
        )
    return True


def not_offered(annotation: Any) -> PluginInvalid:
    contract = contract_of(annotation)
    assert contract is not None
    return PluginInvalid(
        f"{_name(annotation)}: the host has no service {contract.name!r}; the application hands it over, "
        f"Host(..., services=[...]), and a test does with moorage.services.provide({annotation.__name__}, ...)"
    )


def client_class(contract: Contract) -> Callable[[Channel], Any]:
    """Has the contract's methods."""
    errors = dict(contract.errors)
    methods = {
        name: _written_as(method, contract.source, _call(method, errors)) for name, method in contract.methods.items()
    }
    return type(contract.source.__name__, (_Client,), {"__doc__": contract.source.__doc__, "__slots__": (), **methods})


class _Client:
    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        self._channel = channel


class Items:
    """What a method streams: ``for`` in a function, ``async for`` in a coroutine, as the contract says."""

    def __init__(self, stream: ReplyStream[Any], method: TypedMethod, errors: Mapping[str, Type[ServiceError]]) -> None:
        self._stream = stream
        self._items: Any = None
        self._method = method
        self._errors = errors

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._items is None:
            self._items = iter(self._stream)
        with _named(self._errors):
            return self._method.result(next(self._items))

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._items is None:
            self._items = self._stream.__aiter__()
        with _named(self._errors):
            return self._method.result(await self._items.__anext__())

    def close(self) -> None:
        """Cancels what has not arrived. Idempotent; from any thread."""
        self._stream.close()

    async def aclose(self) -> None:
        """As ``close``."""
        self._stream.close()


def _call(method: TypedMethod, errors: Mapping[str, Type[ServiceError]]) -> Callable[..., Any]:
    if method.written.replies_stream:
        return _stream(method, errors)
    if method.written.requests_stream:
        return _send_async(method, errors) if method.written.is_async else _send(method, errors)
    if method.written.is_async:

        async def call_async(self: _Client, *args: Any, **kwargs: Any) -> Any:
            request = method.request(method.bound(*args, **kwargs))
            with _named(errors):
                return method.result(await self._channel.call_async(method.method, request))

        return call_async

    def call(self: _Client, *args: Any, **kwargs: Any) -> Any:
        request = method.request(method.bound(*args, **kwargs))
        with _named(errors):
            return method.result(self._channel.call(method.method, request))

    return call


def _stream(method: TypedMethod, errors: Mapping[str, Type[ServiceError]]) -> Callable[..., Any]:
    def stream(self: _Client, *args: Any, **kwargs: Any) -> Items:
        request = method.request(method.bound(*args, **kwargs))
        return Items(self._channel.stream(method.method, request), method, errors)

    return stream


def _send(method: TypedMethod, errors: Mapping[str, Type[ServiceError]]) -> Callable[..., Any]:
    def send(self: _Client, *args: Any, **kwargs: Any) -> Any:
        ((name, items),) = method.bound(*args, **kwargs).items()
        requests = (method.request({name: item}) for item in items)
        with _named(errors):
            return method.result(self._channel.send_all(method.method, requests))

    return send


def _send_async(method: TypedMethod, errors: Mapping[str, Type[ServiceError]]) -> Callable[..., Any]:
    async def requests(name: str, items: Any) -> AsyncIterator[Any]:
        if isinstance(items, AsyncIterable):
            async for item in items:
                yield method.request({name: item})
        else:
            for item in items:
                yield method.request({name: item})

    async def send(self: _Client, *args: Any, **kwargs: Any) -> Any:
        ((name, items),) = method.bound(*args, **kwargs).items()
        with _named(errors):
            return method.result(await self._channel.send_all_async(method.method, requests(name, items)))

    return send


@contextlib.contextmanager
def _named(errors: Mapping[str, Type[ServiceError]]) -> Iterator[None]:
    """The service's errors as the classes that the contract names for them."""
    try:
        yield
    except ServiceError as error:
        named = errors.get(error.kind)
        if named is None:
            raise
        raise service_error(named, error) from None


def _written_as(method: TypedMethod, source: type, function: Any) -> Any:
    """For ``help()`` and tracebacks."""
    written = getattr(source, method.name)
    function.__name__, function.__doc__ = method.name, written.__doc__
    function.__qualname__ = f"{source.__name__}.{method.name}"
    return function


def _verbs(contract: Contract) -> Tuple[str, ...]:
    """Empty where some method needs no right: the service is of use without any."""
    found: Dict[str, None] = {}
    for method in contract.methods.values():
        access = method.method.access
        if access is None or access.WhichOneof("rule") == "own_reason":
            return ()
        found.update(dict.fromkeys([*(need.verb for need in access.needs.all), *access.late.verbs]))
    return tuple(found)


def _name(annotation: type) -> str:
    return f"{annotation.__module__}.{annotation.__qualname__}"
