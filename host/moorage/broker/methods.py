"""The broker's table of methods, built from the services' descriptors when the host starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from google.protobuf.message import Message

from moorage.broker.services.base import Service
from moorage.errors import ExitCode, MoorageError
from moorage_proto import classifiers as known_classifiers
from moorage_proto.methods import Method, methods_of
from moorage_proto.rules import Classifier, Rule, compile_rule

#: Of the Service itself, so no handler can have them.
RESERVED_NAMES = frozenset({"open", "close", "contract"})


class ServiceUnusable(MoorageError):
    """A service does not fit its contract; the host does not start with it."""

    code = "service_unusable"
    exit_code = ExitCode.CONFIG

    def __init__(self, method: str, problem: str) -> None:
        super().__init__(f"{method} cannot be served: {problem}")


class HandlerKind(Enum):
    #: A plain function: runs in the link's reader, without a task.
    INLINE = auto()
    #: A coroutine function that takes one request.
    UNARY = auto()
    #: An async generator of replies.
    SERVER_STREAM = auto()
    #: A coroutine function that takes an async iterator of requests.
    CLIENT_STREAM = auto()
    #: An async generator of replies that takes an async iterator of requests.
    BOTH_STREAM = auto()

    @property
    def takes_items(self) -> bool:
        return self in (HandlerKind.CLIENT_STREAM, HandlerKind.BOTH_STREAM)

    @property
    def gives_items(self) -> bool:
        return self in (HandlerKind.SERVER_STREAM, HandlerKind.BOTH_STREAM)


@dataclass(frozen=True, slots=True)
class ServedMethod:
    """One method with its check and its handler."""

    path: str
    parse: Callable[[bytes], Message]
    rule: Rule
    handler: Callable[..., Any]
    kind: HandlerKind


#: By path: "/moorage.v1.KafkaService/Produce".
MethodTable = Mapping[str, ServedMethod]


def build_table(services: Iterable[Service], classifiers: Mapping[str, Classifier]) -> MethodTable:
    """Raises AccessRuleMissing for a method without a usable rule, ServiceUnusable for one without a handler."""
    table: dict[str, ServedMethod] = {}
    for service in services:
        for method in methods_of(service.contract).values():
            if method.path in table:
                raise ServiceUnusable(method.path, "two services serve this contract; register one of them")
            rule = compile_rule(method, classifiers)
            handler = _handler(service, method)
            table[method.path] = ServedMethod(
                method.path, method.request.FromString, rule, handler, _kind(method, handler)
            )
    return table


def verbs_of(contract: Any) -> set[str]:
    """Verbs that the access rules of a service ask for."""
    return {verb for method in methods_of(contract).values() for verb in known_classifiers.verbs_of(method)}


def says_of(contract: Any) -> dict[str, str]:
    """What the access rules of a service say of their verbs to the people who grant them."""
    found: dict[str, str] = {}
    for method in methods_of(contract).values():
        if method.access is not None:
            found |= {need.verb: need.says for need in method.access.needs.all if need.says}
            found |= {verb: says for verb, says in zip(method.access.late.verbs, method.access.late.says) if says}
    return found


def _handler(service: Service, method: Method[Any, Any]) -> Callable[..., Any]:
    if method.name in RESERVED_NAMES:
        problem = f"{method.name!r} is a service's own name; call the method something else in its .proto file"
        raise ServiceUnusable(method.path, problem)
    handler = getattr(service, method.name, None)
    if not callable(handler):
        raise ServiceUnusable(method.path, f"{type(service).__name__} has no method {method.name!r}; add it")
    found: Callable[..., Any] = handler
    return found


def _kind(method: Method[Any, Any], handler: Callable[..., Any]) -> HandlerKind:
    if method.server_streaming:
        if not inspect.isasyncgenfunction(handler):
            raise ServiceUnusable(method.path, "its replies stream, so its handler has to be an async generator")
        return HandlerKind.BOTH_STREAM if method.client_streaming else HandlerKind.SERVER_STREAM
    if inspect.iscoroutinefunction(handler):
        return HandlerKind.CLIENT_STREAM if method.client_streaming else HandlerKind.UNARY
    if method.client_streaming:
        raise ServiceUnusable(method.path, "its requests stream, so its handler has to be an async function")
    if inspect.isasyncgenfunction(handler):
        raise ServiceUnusable(method.path, "its reply is no stream, so its handler must not be an async generator")
    return HandlerKind.INLINE
