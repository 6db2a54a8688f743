from moorage_proto import access_pb2 as _access_pb2
from moorage_proto import error_pb2 as _error_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProduceRequest(_message.Message):
    __slots__ = ("backend", "topic", "key", "value", "headers", "partition", "timestamp_millis")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MILLIS_FIELD_NUMBER: _ClassVar[int]
    backend: str
    topic: str
    key: bytes
    value: bytes
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    partition: int
    timestamp_millis: int
    def __init__(self, backend: _Optional[str] = ..., topic: _Optional[str] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., partition: _Optional[int] = ..., timestamp_millis: _Optional[int] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class ProduceReply(_message.Message):
    __slots__ = ("partition", "offset", "timestamp_millis")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MILLIS_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    timestamp_millis: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ..., timestamp_millis: _Optional[int] = ...) -> None: ...

class ProduceBatchReply(_message.Message):
    __slots__ = ("deliveries",)
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[BatchedDelivery]
    def __init__(self, deliveries: _Optional[_Iterable[_Union[BatchedDelivery, _Mapping]]] = ...) -> None: ...

class BatchedDelivery(_message.Message):
    __slots__ = ("delivered", "failed")
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    delivered: ProduceReply
    failed: _error_pb2.Error
    def __init__(self, delivered: _Optional[_Union[ProduceReply, _Mapping]] = ..., failed: _Optional[_Union[_error_pb2.Error, _Mapping]] = ...) -> None: ...
