"""What an application writes above a contract's class and its methods. Nothing is resolved here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Iterable, List, Optional, Tuple, Type, TypeVar, Union

from moorage_proto.errors import ServiceError
from moorage_proto.typed.errors import ContractInvalid

Class = TypeVar("Class", bound=type)
Function = TypeVar("Function", bound=Callable[..., Any])

#: Of services and extension points.
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")

#: Where classes and methods remember what was written above them.
_SERVICE = "__moorage_service__"
_RULES = "__moorage_rules__"


@dataclass(frozen=True)
class Declared:
    """One line above a method."""

    #: "capability", "guarded" or "own".
    kind: str
    #: The capability with its fields in braces; the verb; the reason.
    text: str
    says: str = ""


@dataclass(frozen=True)
class ServiceDeclared:
    """What was written above the class."""

    name: str
    errors: Tuple[Type[ServiceError], ...] = ()
    #: The class whose other form this is, with coroutines for functions or the reverse.
    twin: Optional[type] = None


def service(name: Union[str, type], *, errors: Iterable[Type[ServiceError]] = ()) -> Callable[[Class], Class]:
    """Makes a class the contract of a service: each of its public methods is one of the service.

        @service("billing", errors=[CardDeclined])
        class Billing(Protocol):
            @capability("billing.charge:{customer}", says="It may charge customers.")
            def charge(self, customer: str, cents: int) -> str: ...

    Plugins that ask for a ``Billing`` call what is written here: ``def`` for tasks that are functions, ``async def``
    for coroutines. The other form of the same service, ``@service(Billing) class AsyncBilling(Protocol)``, repeats the
    methods, and no declarations. ``errors`` arrive as their own classes in plugins.

    The class may also be what serves it, in the host: its methods are ``async def`` and take ``caller`` first.
    """
    if isinstance(name, type):
        other = declared(name)
        if other is None:
            raise ContractInvalid(name.__name__, 'it is no contract; write @service("its name") above it')
        made = ServiceDeclared(other.name, other.errors, name)
    else:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problem = f'{name!r} cannot be the name of a service; write small letters, digits and _, such as "billing"'
            raise ContractInvalid("service", problem)
        made = ServiceDeclared(name, tuple(errors))

    def declare(class_: Class) -> Class:
        if not isinstance(class_, type):
            raise TypeError(f"a contract is a class, {class_!r} is none")
        setattr(class_, _SERVICE, made)
        return class_

    return declare


def capability(text: str, *, says: str = "") -> Callable[[Function], Function]:
    """The right that a call needs: a verb, and a resource with the method's parameters in braces.

    ``"billing.charge:{customer}"``, ``"{order.region}"`` for a field, ``"{orders[*].region}"`` for each of a list;
    ``"billing.report:all"`` for a method without resources, ``"{region}/{customer}"`` for two at once. Several lines
    are several rights, all of which are needed. ``says`` is the sentence for who grants the verb.
    """
    return _rule(Declared("capability", text, says))


def guarded(verb: str, *, says: str = "") -> Callable[[Function], Function]:
    """For a method that decides while it works, by ``caller.guard``; a reply without a decision is never sent."""
    return _rule(Declared("guarded", verb, says))


def own(reason: str) -> Callable[[Function], Function]:
    """For a method that needs no right. The reason, a sentence, stands in the contract."""
    return _rule(Declared("own", reason))


def declared(class_: Any) -> Optional[ServiceDeclared]:
    """Of a class or one above it; None: it is no contract."""
    found = getattr(class_, _SERVICE, None) if isinstance(class_, type) else None
    return found if isinstance(found, ServiceDeclared) else None


def rules_of(function: Any) -> Tuple[Declared, ...]:
    """As they are written, from the top."""
    found: List[Declared] = getattr(function, _RULES, [])
    return tuple(reversed(found))


def _rule(made: Declared) -> Callable[[Function], Function]:
    def declare(function: Function) -> Function:
        rules: List[Declared] = vars(function).setdefault(_RULES, [])
        rules.append(made)
        return function

    return declare
