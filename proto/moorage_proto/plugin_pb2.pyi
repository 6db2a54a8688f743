from google.protobuf import descriptor_pb2 as _descriptor_pb2
from moorage_proto import events_pb2 as _events_pb2
from moorage_proto import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LoadRequest(_message.Message):
    __slots__ = ("config", "state", "from_version", "version")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    config: _value_pb2.Record
    state: _value_pb2.Value
    from_version: str
    version: str
    def __init__(self, config: _Optional[_Union[_value_pb2.Record, _Mapping]] = ..., state: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., from_version: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class LoadReply(_message.Message):
    __slots__ = ("tasks", "hooks", "handlers", "extensions")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    HOOKS_FIELD_NUMBER: _ClassVar[int]
    HANDLERS_FIELD_NUMBER: _ClassVar[int]
    EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    hooks: _containers.RepeatedScalarFieldContainer[str]
    handlers: _containers.RepeatedCompositeFieldContainer[EventHandler]
    extensions: _containers.RepeatedCompositeFieldContainer[Extension]
    def __init__(self, tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ..., hooks: _Optional[_Iterable[str]] = ..., handlers: _Optional[_Iterable[_Union[EventHandler, _Mapping]]] = ..., extensions: _Optional[_Iterable[_Union[Extension, _Mapping]]] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("name", "summary", "input_schema", "result_schema")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    RESULT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    input_schema: _value_pb2.Record
    result_schema: _value_pb2.Record
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., input_schema: _Optional[_Union[_value_pb2.Record, _Mapping]] = ..., result_schema: _Optional[_Union[_value_pb2.Record, _Mapping]] = ...) -> None: ...

class EventHandler(_message.Message):
    __slots__ = ("name", "topic", "replies", "data_schema")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    DATA_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    name: str
    topic: str
    replies: bool
    data_schema: _value_pb2.Record
    def __init__(self, name: _Optional[str] = ..., topic: _Optional[str] = ..., replies: bool = ..., data_schema: _Optional[_Union[_value_pb2.Record, _Mapping]] = ...) -> None: ...

class Extension(_message.Message):
    __slots__ = ("point", "version", "methods", "contract")
    POINT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    point: str
    version: int
    methods: _containers.RepeatedScalarFieldContainer[str]
    contract: _descriptor_pb2.FileDescriptorProto
    def __init__(self, point: _Optional[str] = ..., version: _Optional[int] = ..., methods: _Optional[_Iterable[str]] = ..., contract: _Optional[_Union[_descriptor_pb2.FileDescriptorProto, _Mapping]] = ...) -> None: ...

class CallExtensionRequest(_message.Message):
    __slots__ = ("point", "version", "method", "arguments")
    POINT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    point: str
    version: int
    method: str
    arguments: bytes
    def __init__(self, point: _Optional[str] = ..., version: _Optional[int] = ..., method: _Optional[str] = ..., arguments: _Optional[bytes] = ...) -> None: ...

class CallExtensionReply(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: bytes
    def __init__(self, answer: _Optional[bytes] = ...) -> None: ...

class HandleEventRequest(_message.Message):
    __slots__ = ("handler", "event")
    HANDLER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    handler: str
    event: _events_pb2.Event
    def __init__(self, handler: _Optional[str] = ..., event: _Optional[_Union[_events_pb2.Event, _Mapping]] = ...) -> None: ...

class HandleEventReply(_message.Message):
    __slots__ = ("reply",)
    REPLY_FIELD_NUMBER: _ClassVar[int]
    reply: _value_pb2.Value
    def __init__(self, reply: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...

class RunRequest(_message.Message):
    __slots__ = ("task", "execution", "attempt", "trigger", "input", "input_brought")
    TASK_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    INPUT_BROUGHT_FIELD_NUMBER: _ClassVar[int]
    task: str
    execution: str
    attempt: int
    trigger: str
    input: _value_pb2.Value
    input_brought: bool
    def __init__(self, task: _Optional[str] = ..., execution: _Optional[str] = ..., attempt: _Optional[int] = ..., trigger: _Optional[str] = ..., input: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., input_brought: bool = ...) -> None: ...

class RunReply(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _value_pb2.Value
    def __init__(self, result: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...

class ChangeConfigRequest(_message.Message):
    __slots__ = ("config", "keys")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    config: _value_pb2.Record
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, config: _Optional[_Union[_value_pb2.Record, _Mapping]] = ..., keys: _Optional[_Iterable[str]] = ...) -> None: ...

class ChangeConfigReply(_message.Message):
    __slots__ = ("told",)
    TOLD_FIELD_NUMBER: _ClassVar[int]
    told: bool
    def __init__(self, told: bool = ...) -> None: ...

class SetLogLevelsRequest(_message.Message):
    __slots__ = ("level", "loggers")
    class LoggersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    LOGGERS_FIELD_NUMBER: _ClassVar[int]
    level: int
    loggers: _containers.ScalarMap[str, int]
    def __init__(self, level: _Optional[int] = ..., loggers: _Optional[_Mapping[str, int]] = ...) -> None: ...

class SetLogLevelsReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthReply(_message.Message):
    __slots__ = ("healthy", "message")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    healthy: bool
    message: str
    def __init__(self, healthy: bool = ..., message: _Optional[str] = ...) -> None: ...

class ExportStateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportStateReply(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: _value_pb2.Value
    def __init__(self, state: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...

class UnloadRequest(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class UnloadReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
