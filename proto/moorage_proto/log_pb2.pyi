from moorage_proto import access_pb2 as _access_pb2
from moorage_proto import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WriteLogRequest(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[LogRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[LogRecord, _Mapping]]] = ...) -> None: ...

class LogRecord(_message.Message):
    __slots__ = ("time_micros", "level", "logger", "message", "fields", "exception", "scope")
    TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    LOGGER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    EXCEPTION_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    time_micros: int
    level: int
    logger: str
    message: str
    fields: _value_pb2.Record
    exception: str
    scope: str
    def __init__(self, time_micros: _Optional[int] = ..., level: _Optional[int] = ..., logger: _Optional[str] = ..., message: _Optional[str] = ..., fields: _Optional[_Union[_value_pb2.Record, _Mapping]] = ..., exception: _Optional[str] = ..., scope: _Optional[str] = ...) -> None: ...

class WriteLogReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
