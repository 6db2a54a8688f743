"""What annotations say, on every Python from 3.9 on: for the SDK's schemas, and for contracts in typed Python."""

from __future__ import annotations

import sys
import types
import typing
from typing import Any, Mapping, Tuple, Union

#: `int | None` makes another kind of union than Union[int, None] before Python 3.14.
UNIONS = (Union, getattr(types, "UnionType", Union))


class AnnotationUnsupported(TypeError):
    """A type that cannot cross between host and plugin, or an annotation that cannot be resolved."""


def bare(annotation: Any) -> Any:
    """Without Annotated, NewType and aliases."""
    while True:
        if hasattr(annotation, "__metadata__"):
            annotation = annotation.__origin__
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return type(None) if annotation is None else annotation


def same_type(one: Any, other: Any) -> bool:
    """However it is written: List[str] and list[str], Optional[int] and int | None."""
    one, other = bare(one), bare(other)
    if one == other:
        return True
    first, second = typing.get_args(one), typing.get_args(other)
    if _origin(one) != _origin(other) or len(first) != len(second):
        return False
    if _origin(one) is Union:
        return all(any(same_type(each, found) for found in second) for each in first)
    return bool(first) and all(same_type(each, found) for each, found in zip(first, second))


def _origin(annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    return Union if origin in UNIONS else origin


def hints_of(annotation: Any) -> Mapping[str, Any]:
    """Of a class. Raises AnnotationUnsupported where a name cannot be resolved."""
    try:
        return typing.get_type_hints(annotation, include_extras=True)
    except Exception as error:
        raise AnnotationUnsupported(
            f"the annotations of {annotation.__name__} cannot be resolved: {error}; "
            f"import what they name at the top of the module"
            f"{newer_syntax_hint(error)}"
        ) from error


def newer_syntax_hint(error: BaseException) -> str:
    """What to write instead, where the annotation is written in the syntax of a newer Python."""
    if isinstance(error, TypeError) and "|" in str(error) and sys.version_info < (3, 10):
        return "; for Python 3.9 write Optional[...] or Union[...] instead of |"
    return ""


def is_typed_dict(annotation: type) -> bool:
    return (
        issubclass(annotation, dict) and hasattr(annotation, "__total__") and hasattr(annotation, "__required_keys__")
    )


def requirement(hint: Any, required: bool) -> Tuple[Any, bool]:
    """Peels Required, NotRequired and ReadOnly off; older Pythons leave them on, and count them wrongly in text."""
    names = {"Required": True, "NotRequired": False, "ReadOnly": None}
    name = getattr(getattr(hint, "__origin__", None), "_name", None)
    while name in names:
        stated = names[name]
        required = required if stated is None else stated
        hint = typing.get_args(hint)[0]
        name = getattr(getattr(hint, "__origin__", None), "_name", None)
    return hint, required


def is_model(annotation: Any) -> bool:
    """Whether it is a pydantic model. Pydantic is never imported here: who has made the class has it."""
    return isinstance(annotation, type) and (is_model_2(annotation) or is_model_1(annotation))


def is_model_2(annotation: Any) -> bool:
    return hasattr(annotation, "model_validate") and hasattr(annotation, "__pydantic_validator__")


def is_model_1(annotation: Any) -> bool:
    return hasattr(annotation, "parse_obj") and hasattr(annotation, "__fields__")
