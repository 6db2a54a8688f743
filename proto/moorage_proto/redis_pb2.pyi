from moorage_proto import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RedisCommand(_message.Message):
    __slots__ = ("arguments",)
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    arguments: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, arguments: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ExecuteCommandsRequest(_message.Message):
    __slots__ = ("backend", "commands", "connection")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    backend: str
    commands: _containers.RepeatedCompositeFieldContainer[RedisCommand]
    connection: int
    def __init__(self, backend: _Optional[str] = ..., commands: _Optional[_Iterable[_Union[RedisCommand, _Mapping]]] = ..., connection: _Optional[int] = ...) -> None: ...

class ExecuteCommandsReply(_message.Message):
    __slots__ = ("replies", "connection")
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[RedisReply]
    connection: int
    def __init__(self, replies: _Optional[_Iterable[_Union[RedisReply, _Mapping]]] = ..., connection: _Optional[int] = ...) -> None: ...

class RedisReply(_message.Message):
    __slots__ = ("data", "integer", "error", "array")
    DATA_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    integer: int
    error: str
    array: RedisArray
    def __init__(self, data: _Optional[bytes] = ..., integer: _Optional[int] = ..., error: _Optional[str] = ..., array: _Optional[_Union[RedisArray, _Mapping]] = ...) -> None: ...

class RedisArray(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RedisReply]
    def __init__(self, items: _Optional[_Iterable[_Union[RedisReply, _Mapping]]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: int
    def __init__(self, connection: _Optional[int] = ...) -> None: ...

class ReleaseReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("backend", "commands")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    backend: str
    commands: _containers.RepeatedCompositeFieldContainer[RedisCommand]
    def __init__(self, backend: _Optional[str] = ..., commands: _Optional[_Iterable[_Union[RedisCommand, _Mapping]]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("subscription", "reply")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    subscription: int
    reply: RedisReply
    def __init__(self, subscription: _Optional[int] = ..., reply: _Optional[_Union[RedisReply, _Mapping]] = ...) -> None: ...

class ChangeSubscriptionRequest(_message.Message):
    __slots__ = ("subscription", "commands")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    subscription: int
    commands: _containers.RepeatedCompositeFieldContainer[RedisCommand]
    def __init__(self, subscription: _Optional[int] = ..., commands: _Optional[_Iterable[_Union[RedisCommand, _Mapping]]] = ...) -> None: ...

class ChangeSubscriptionReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
