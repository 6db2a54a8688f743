from moorage_proto import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HttpRequestItem(_message.Message):
    __slots__ = ("head", "body")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    head: HttpRequestHead
    body: bytes
    def __init__(self, head: _Optional[_Union[HttpRequestHead, _Mapping]] = ..., body: _Optional[bytes] = ...) -> None: ...

class HttpRequestHead(_message.Message):
    __slots__ = ("method", "url", "headers", "connect_timeout_ms", "read_timeout_ms", "write_timeout_ms", "pool_timeout_ms")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    READ_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    WRITE_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    POOL_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    method: str
    url: str
    headers: _containers.RepeatedCompositeFieldContainer[HttpHeader]
    connect_timeout_ms: int
    read_timeout_ms: int
    write_timeout_ms: int
    pool_timeout_ms: int
    def __init__(self, method: _Optional[str] = ..., url: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[HttpHeader, _Mapping]]] = ..., connect_timeout_ms: _Optional[int] = ..., read_timeout_ms: _Optional[int] = ..., write_timeout_ms: _Optional[int] = ..., pool_timeout_ms: _Optional[int] = ...) -> None: ...

class HttpHeader(_message.Message):
    __slots__ = ("name", "parts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parts: _containers.RepeatedCompositeFieldContainer[HttpHeaderPart]
    def __init__(self, name: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[HttpHeaderPart, _Mapping]]] = ...) -> None: ...

class HttpHeaderPart(_message.Message):
    __slots__ = ("text", "secret")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    text: bytes
    secret: str
    def __init__(self, text: _Optional[bytes] = ..., secret: _Optional[str] = ...) -> None: ...

class HttpReplyItem(_message.Message):
    __slots__ = ("head", "body", "failure")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    head: HttpReplyHead
    body: bytes
    failure: HttpFailure
    def __init__(self, head: _Optional[_Union[HttpReplyHead, _Mapping]] = ..., body: _Optional[bytes] = ..., failure: _Optional[_Union[HttpFailure, _Mapping]] = ...) -> None: ...

class HttpReplyHead(_message.Message):
    __slots__ = ("status", "reason", "headers", "http_version")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    HTTP_VERSION_FIELD_NUMBER: _ClassVar[int]
    status: int
    reason: bytes
    headers: _containers.RepeatedCompositeFieldContainer[HttpHeader]
    http_version: str
    def __init__(self, status: _Optional[int] = ..., reason: _Optional[bytes] = ..., headers: _Optional[_Iterable[_Union[HttpHeader, _Mapping]]] = ..., http_version: _Optional[str] = ...) -> None: ...

class HttpFailure(_message.Message):
    __slots__ = ("kind", "message")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[HttpFailure.Kind]
        CONNECT: _ClassVar[HttpFailure.Kind]
        CONNECT_TIMEOUT: _ClassVar[HttpFailure.Kind]
        READ: _ClassVar[HttpFailure.Kind]
        READ_TIMEOUT: _ClassVar[HttpFailure.Kind]
        WRITE: _ClassVar[HttpFailure.Kind]
        WRITE_TIMEOUT: _ClassVar[HttpFailure.Kind]
        POOL_TIMEOUT: _ClassVar[HttpFailure.Kind]
        PROTOCOL: _ClassVar[HttpFailure.Kind]
        TOO_LARGE: _ClassVar[HttpFailure.Kind]
    KIND_UNSPECIFIED: HttpFailure.Kind
    CONNECT: HttpFailure.Kind
    CONNECT_TIMEOUT: HttpFailure.Kind
    READ: HttpFailure.Kind
    READ_TIMEOUT: HttpFailure.Kind
    WRITE: HttpFailure.Kind
    WRITE_TIMEOUT: HttpFailure.Kind
    POOL_TIMEOUT: HttpFailure.Kind
    PROTOCOL: HttpFailure.Kind
    TOO_LARGE: HttpFailure.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: HttpFailure.Kind
    message: str
    def __init__(self, kind: _Optional[_Union[HttpFailure.Kind, str]] = ..., message: _Optional[str] = ...) -> None: ...
