from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
TYPED_FIELD_NUMBER: _ClassVar[int]
typed: _descriptor.FieldDescriptor

class Typed(_message.Message):
    __slots__ = ("form", "choices", "required", "optional")
    class Form(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PLAIN: _ClassVar[Typed.Form]
        DATETIME: _ClassVar[Typed.Form]
        DATE: _ClassVar[Typed.Form]
        TIME: _ClassVar[Typed.Form]
        DURATION: _ClassVar[Typed.Form]
        DECIMAL: _ClassVar[Typed.Form]
        UUID: _ClassVar[Typed.Form]
        CHOICE: _ClassVar[Typed.Form]
    PLAIN: Typed.Form
    DATETIME: Typed.Form
    DATE: Typed.Form
    TIME: Typed.Form
    DURATION: Typed.Form
    DECIMAL: Typed.Form
    UUID: Typed.Form
    CHOICE: Typed.Form
    FORM_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    form: Typed.Form
    choices: _containers.RepeatedScalarFieldContainer[str]
    required: bool
    optional: bool
    def __init__(self, form: _Optional[_Union[Typed.Form, str]] = ..., choices: _Optional[_Iterable[str]] = ..., required: bool = ..., optional: bool = ...) -> None: ...
