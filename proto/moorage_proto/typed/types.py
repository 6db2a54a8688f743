"""From annotations to the fields of messages, and the messages themselves."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import re
import typing
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from moorage_proto import typed_pb2
from moorage_proto.annotations import (
    UNIONS,
    AnnotationUnsupported,
    bare,
    hints_of,
    is_model,
    is_model_2,
    is_typed_dict,
    requirement,
)
from moorage_proto.typed.containers import CONTAINERS, DICTIONARIES, DICTIONARY, TUPLE
from moorage_proto.typed.records import (
    Container,
    Record,
    Slot,
    attributes_of,
    boxed,
    keys_of,
    places_of,
    unboxed,
)
from moorage_proto.typed.singles import SINGLES, Single, choice_of_enum, choice_of_texts

_Field = descriptor_pb2.FieldDescriptorProto

#: Stands for "it has no default".
NO_DEFAULT: Any = object()

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Messages:
    """The messages of one contract's file, each made once; types may refer to themselves."""

    def __init__(self, package: str, service: str) -> None:
        """``service``: its name, which no message can have."""
        self.package = package
        self._records: Dict[Any, Record] = {}
        self._names: Dict[str, int] = {service: 1}
        self.protos: List[Any] = []

    def message(self, name: str, slots: Iterable[Slot]) -> Record:
        """Of a request or a reply: a record that is a dictionary."""
        record = self._begin(name, dict, lambda value, _: value)
        return self._end(record, slots)

    def slot(self, name: str, number: int, annotation: Any, default: Any = NO_DEFAULT) -> Slot:
        """Raises AnnotationUnsupported. ``default``: what the receiver takes when the field is absent."""
        if not _NAME.fullmatch(name) or hasattr(Message, name):
            raise AnnotationUnsupported(f"{name!r} cannot be the name of a field; use letters, digits and _ between")
        optional, wanted = _without_none(annotation)
        many = _container(wanted)
        empty_is_default = default is NO_DEFAULT or (default is None if optional else _is_empty(default))
        if (many is not None or optional) and not empty_is_default:
            # Absent would be two things: the default, and None or an empty list.
            return Slot(name, number, self._box(annotation))
        if many is not None and optional:
            return Slot(name, number, self._box(wanted), optional=True)
        if many is not None:
            return Slot(name, number, self._item_kind(wanted), many)
        return Slot(
            name, number, self._kind(wanted), optional=optional, required=not optional and default is NO_DEFAULT
        )

    def _kind(self, annotation: Any) -> Union[Single, Record]:
        """Of a value that is one field. Lists in lists, and Optional in lists, take a message."""
        annotation = bare(annotation)
        if isinstance(annotation, collections.abc.Hashable) and annotation in SINGLES:
            return SINGLES[annotation]
        origin = typing.get_origin(annotation)
        arguments = typing.get_args(annotation)
        if origin is typing.Literal and all(isinstance(argument, str) for argument in arguments):
            return choice_of_texts(arguments)
        optional, wanted = _without_none(annotation)
        if (optional and wanted is not type(None)) or _container(annotation) is not None:
            return self._box(annotation)
        if origin is tuple:
            return self._fixed(annotation, arguments)
        if isinstance(annotation, type):
            return self._class(annotation)
        raise _unsupported(annotation)

    def _item_kind(self, annotation: Any) -> Union[Single, Record]:
        """Of what a container holds."""
        annotation = bare(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in DICTIONARIES:
            return self._pair(annotation, arguments)
        if not arguments:
            raise AnnotationUnsupported(
                f"{annotation.__name__} does not say what it holds; write List[str], for example"
            )
        return self._kind(arguments[0])

    def _class(self, annotation: Any) -> Union[Single, Record]:
        if annotation in self._records:
            return self._records[annotation]
        if issubclass(annotation, enum.Enum):
            return choice_of_enum(annotation)
        if is_model(annotation):
            return self._model(annotation)
        if is_typed_dict(annotation):
            return self._typed_dict(annotation)
        if dataclasses.is_dataclass(annotation):
            return self._dataclass(annotation)
        if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
            return self._named_tuple(annotation)
        raise _unsupported(annotation)

    def _dataclass(self, annotation: Any) -> Record:
        hints = hints_of(annotation)
        fields = [field for field in dataclasses.fields(annotation) if field.init]
        names = [field.name for field in fields]
        record = self._begin_class(annotation, lambda values: annotation(**values), attributes_of(annotation, names))
        return self._end(
            record,
            (
                self.slot(field.name, number, hints[field.name], _default_of(field))
                for number, field in enumerate(fields, 1)
            ),
        )

    def _named_tuple(self, annotation: Any) -> Record:
        hints, defaults, names = hints_of(annotation), annotation._field_defaults, annotation._fields
        record = self._begin_class(annotation, lambda values: annotation(**values), attributes_of(annotation, names))
        return self._end(
            record,
            (
                self.slot(name, number, hints.get(name, Any), defaults.get(name, NO_DEFAULT))
                for number, name in enumerate(names, 1)
            ),
        )

    def _typed_dict(self, annotation: Any) -> Record:
        stated = {
            name: requirement(hint, name in annotation.__required_keys__) for name, hint in hints_of(annotation).items()
        }
        required = [name for name, (_, is_required) in stated.items() if is_required]
        record = self._begin_class(annotation, dict, keys_of(annotation, stated, required))
        return self._end(
            record,
            (
                # A key that may be left out is boxed where absent would mean None or an empty list.
                self.slot(name, number, hint, NO_DEFAULT if is_required else ABSENT_KEY)
                for number, (name, (hint, is_required)) in enumerate(stated.items(), 1)
            ),
        )

    def _model(self, annotation: Any) -> Record:
        """Pydantic validates what was read."""
        fields = _model_fields(annotation)
        validate = annotation.model_validate if is_model_2(annotation) else annotation.parse_obj
        keys = {name: key for name, key, _, _ in fields}
        record = self._begin_class(
            annotation,
            lambda values: validate({keys[name]: value for name, value in values.items()}),
            attributes_of(annotation, keys),
        )
        return self._end(
            record,
            (self.slot(name, number, hint, default) for number, (name, _, hint, default) in enumerate(fields, 1)),
        )

    def _fixed(self, annotation: Any, arguments: Tuple[Any, ...]) -> Record:
        arguments = () if arguments == ((),) else arguments
        if annotation in self._records:
            return self._records[annotation]
        record = self._begin("Tuple", lambda values: tuple(values.values()), places_of(len(arguments)))
        self._records[annotation] = record
        return self._end(
            record, (self.slot(f"item_{index}", index + 1, argument) for index, argument in enumerate(arguments))
        )

    def _pair(self, annotation: Any, arguments: Tuple[Any, ...]) -> Record:
        """Of a dictionary."""
        if len(arguments) != 2:
            raise AnnotationUnsupported("dict does not say what it holds; write Dict[str, int], for example")
        key = ("pair", annotation)
        if key in self._records:
            return self._records[key]
        slots = (self.slot("key", 1, arguments[0]), self.slot("value", 2, arguments[1]))
        if not isinstance(slots[0].kind, Single) or slots[0].many or slots[0].optional:
            raise AnnotationUnsupported("the keys of a dictionary that crosses are single values, such as str or int")
        record = self._records[key] = self._begin(
            "Pair",
            lambda values: (values["key"], values["value"]),
            lambda value, _: {"key": value[0], "value": value[1]},
        )
        return self._end(record, slots)

    def _box(self, annotation: Any) -> Record:
        key = ("box", annotation)
        if key not in self._records:
            record = self._records[key] = self._begin("Box", unboxed, boxed)
            self._end(record, (self.slot("value", 1, annotation),))
        return self._records[key]

    def _begin_class(self, annotation: type, make: Callable[[Any], Any], take: Callable[[Any, str], Any]) -> Record:
        record = self._begin(annotation.__name__, make, take)
        self._records[annotation] = record
        return record

    def _begin(self, name: str, make: Callable[[Any], Any], take: Callable[[Any, str], Any]) -> Record:
        name = re.sub(r"\W", "", name)
        count = self._names[name] = self._names.get(name, 0) + 1
        return Record(name if count == 1 else f"{name}{count}", make, take)

    def _end(self, record: Record, slots: Iterable[Slot]) -> Record:
        record.slots = tuple(slots)
        proto = descriptor_pb2.DescriptorProto(name=record.name)
        for slot in record.slots:
            self._describe(proto, slot)
        self.protos.append(proto)
        return record

    def _describe(self, message: Any, slot: Slot) -> None:
        label = _Field.LABEL_OPTIONAL if slot.many is None else _Field.LABEL_REPEATED
        field = message.field.add(name=slot.name, number=slot.number, label=label)
        typed = typed_pb2.Typed(required=slot.required, optional=slot.optional)
        if isinstance(slot.kind, Record):
            field.type = _Field.TYPE_MESSAGE
            field.type_name = f".{self.package}.{slot.kind.name}"
        else:
            field.type = slot.kind.type
            typed.form = slot.kind.form
            typed.choices.extend(slot.kind.choices)
            if slot.many is None:
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{slot.name}")
        if typed.ByteSize():
            field.options.Extensions[typed_pb2.typed].CopyFrom(typed)


#: A key of a TypedDict that need not be there.
ABSENT_KEY: Any = object()


def _without_none(annotation: Any) -> Tuple[bool, Any]:
    """Whether it is Optional, and of what."""
    annotation = bare(annotation)
    if typing.get_origin(annotation) not in UNIONS:
        return False, annotation
    others = [argument for argument in typing.get_args(annotation) if argument is not type(None)]
    if len(others) != 1:
        raise AnnotationUnsupported(
            f"{_shown(annotation)} is one of several types, and a field has one; write a dataclass with an Optional "
            "field for each"
        )
    return True, bare(others[0])


def _container(annotation: Any) -> Optional[Container]:
    origin = typing.get_origin(annotation) or annotation
    if origin is tuple:
        arguments = typing.get_args(annotation)
        return TUPLE if len(arguments) == 2 and arguments[1] is Ellipsis else None
    if origin in DICTIONARIES:
        return DICTIONARY
    return CONTAINERS.get(origin) if isinstance(origin, collections.abc.Hashable) else None


def _is_empty(default: Any) -> bool:
    return isinstance(default, (list, tuple, set, frozenset, dict)) and not default


def _default_of(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return NO_DEFAULT if field.default_factory is dataclasses.MISSING else field.default_factory()


def _model_fields(model: Any) -> List[Tuple[str, str, Any, Any]]:
    """Name, the key that pydantic reads, annotation, default."""
    if is_model_2(model):
        return [
            (
                name,
                field.validation_alias if isinstance(field.validation_alias, str) else field.alias or name,
                field.annotation,
                NO_DEFAULT if field.is_required() else field.get_default(call_default_factory=True),
            )
            for name, field in model.model_fields.items()
        ]
    return [
        (
            name,
            field.alias,
            Optional[field.outer_type_] if field.allow_none else field.outer_type_,
            NO_DEFAULT if field.required else field.get_default(),
        )
        for name, field in model.__fields__.items()
    ]


def _shown(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else repr(annotation).replace("typing.", "")


def _unsupported(annotation: Any) -> AnnotationUnsupported:
    return AnnotationUnsupported(
        f"{_shown(annotation)} cannot cross between host and plugin; there are dataclasses, TypedDicts, named tuples, "
        "pydantic models, enums, Literal of texts, Optional, lists, sets, tuples, dictionaries, and single values: "
        "str, bool, int, float, bytes, Decimal, UUID, datetime, date, time and timedelta"
    )
