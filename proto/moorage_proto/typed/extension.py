"""Extension points: contracts in typed Python whose methods the host calls, and plugins implement.

Application and plugin share one file, which imports ``moorage_proto`` alone, or each has its own copy of it.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple, TypeVar

from moorage_proto.typed.contract import LIFE, Contract, TypedMethod, compile_contract, public_methods
from moorage_proto.typed.declare import NAME
from moorage_proto.typed.errors import ContractInvalid
from moorage_proto.typed.signature import CALLER

Class = TypeVar("Class", bound=type)

#: Of the arguments of one call, and of one answer, as they cross. What is larger belongs into a service.
MAX_BYTES = 1024 * 1024

#: Where a class remembers what was written above it, and each of its methods the class.
_POINT = "__moorage_extension_point__"
_OWNER = "__moorage_extends__"


@dataclass(frozen=True)
class PointDeclared:
    """What was written above the class."""

    name: str
    version: int
    compatible: Tuple[int, ...]


@dataclass(frozen=True)
class Point:
    """A compiled extension point."""

    contract: Contract
    version: int
    #: Older versions whose implementations a host with this one calls, too.
    compatible: Tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.contract.name

    @property
    def methods(self) -> Mapping[str, TypedMethod]:
        """By their names."""
        return self.contract.methods


def extension_point(name: str, *, version: int, compatible: Iterable[int] = ()) -> Callable[[Class], Class]:
    """Makes a class an extension point: plugins implement its methods, and the application calls them.

        @extension_point("shop.discount", version=2, compatible=(1,))
        class Discount(Protocol):
            async def discount(self, basket: Basket, coupon: str = "") -> int: ...

    A change that plugins must know of is another ``version``. ``compatible`` names the older ones whose
    implementations this application calls all the same: they know no methods, parameters and fields that were added
    since, so what was added to a request is lost on them. Raises ContractInvalid.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        problem = f'{name!r} cannot be the name of an extension point; write small letters, such as "shop.discount"'
        raise ContractInvalid("extension_point", problem)
    older = tuple(sorted(set(compatible)))
    if not _is_version(version) or not all(map(_is_version, older)):
        raise ContractInvalid(name, "a version is a whole number from 1 on")
    if older and older[-1] >= version:
        raise ContractInvalid(name, f"compatible names older versions than {version}, and {older[-1]} is none")
    made = PointDeclared(name, version, older)

    def declare(class_: Class) -> Class:
        if not isinstance(class_, type):
            raise TypeError(f"an extension point is a class, {class_!r} is none")
        setattr(class_, _POINT, made)
        for name, function in vars(class_).items():
            # What begins with _ may be the typing module's own, which all Protocols share.
            if inspect.isfunction(function) and not name.startswith("_"):
                setattr(function, _OWNER, class_)
        return class_

    return declare


def point_of(class_: Any) -> Optional[Point]:
    """Of a class under ``@extension_point`` itself; compiled once. None: it is under none. Raises ContractInvalid."""
    found = vars(class_).get(_POINT) if isinstance(class_, type) else None
    if not isinstance(found, PointDeclared):
        return None
    made = _compiled.get(class_)
    if made is None:
        made = _compiled[class_] = _compile(class_, found)
    return made


def owner_of(function: Any) -> Optional[type]:
    """The class under ``@extension_point`` that a function is a method of; None: of none."""
    found = getattr(function, _OWNER, None)
    return found if isinstance(found, type) else None


def method_of(function: Any) -> Tuple[Point, TypedMethod]:
    """Of a method as it is written in code: ``Discount.discount``. Raises ContractInvalid."""
    owner = owner_of(function)
    point = point_of(owner)
    name = getattr(function, "__name__", "")
    if point is None or name not in point.methods:
        what = getattr(function, "__qualname__", repr(function))
        raise ContractInvalid(what, "it is no method of an extension point; write @extension_point above its class")
    return point, point.methods[name]


_compiled: Dict[type, Point] = {}


def _compile(source: type, found: PointDeclared) -> Point:
    for name, function in public_methods(source):
        place = f"{source.__name__}.{name}"
        if vars(source).get(name) is not function:
            raise ContractInvalid(place, f"it is inherited; write it into {source.__name__}: one class is one contract")
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                raise ContractInvalid(place, f"{parameter.name!r} follows a *, and arguments are given in their order")
            if parameter.name == CALLER:
                raise ContractInvalid(place, f"a parameter is named {CALLER!r}, as in a service; name it otherwise")
    for name in LIFE & set(vars(source)):
        raise ContractInvalid(f"{source.__name__}.{name}", "this name cannot cross; name it otherwise")
    contract = compile_contract(source, found.name, None)
    for name, method in contract.methods.items():
        if method.written.requests_stream or method.written.replies_stream:
            problem = "it streams, and an answer is one value; write a list"
            raise ContractInvalid(f"{source.__name__}.{name}", problem)
    return Point(contract, found.version, found.compatible)


def _is_version(version: object) -> bool:
    return isinstance(version, int) and not isinstance(version, bool) and 1 <= version <= 1_000_000
