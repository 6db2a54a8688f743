from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    CAPABILITY_MISSING: _ClassVar[Reason]
    SCOPE_CLOSED: _ClassVar[Reason]
    METHOD_UNKNOWN: _ClassVar[Reason]
    QUOTA_EXCEEDED: _ClassVar[Reason]
    DEADLINE_EXCEEDED: _ClassVar[Reason]
    CANCELLED: _ClassVar[Reason]
    GRANT_REVOKED: _ClassVar[Reason]
    BACKEND_UNKNOWN: _ClassVar[Reason]
    BACKEND_UNAVAILABLE: _ClassVar[Reason]
    REQUEST_INVALID: _ClassVar[Reason]
    MESSAGE_TOO_LARGE: _ClassVar[Reason]
    LINK_CLOSED: _ClassVar[Reason]
    TOKEN_INVALID: _ClassVar[Reason]
    PROTOCOL_UNSUPPORTED: _ClassVar[Reason]
    SERIALIZATION_FAILURE: _ClassVar[Reason]
    TRANSACTION_IDLE: _ClassVar[Reason]
    HANDLE_UNKNOWN: _ClassVar[Reason]
    TASK_FAILED: _ClassVar[Reason]
    TASK_UNKNOWN: _ClassVar[Reason]
    LOAD_FAILED: _ClassVar[Reason]
    INTERNAL: _ClassVar[Reason]
    PROTOCOL_VIOLATION: _ClassVar[Reason]
    BACKEND_FAILED: _ClassVar[Reason]
    SERVICE_REFUSED: _ClassVar[Reason]
    MESSAGE_LOCK_LOST: _ClassVar[Reason]
REASON_UNSPECIFIED: Reason
CAPABILITY_MISSING: Reason
SCOPE_CLOSED: Reason
METHOD_UNKNOWN: Reason
QUOTA_EXCEEDED: Reason
DEADLINE_EXCEEDED: Reason
CANCELLED: Reason
GRANT_REVOKED: Reason
BACKEND_UNKNOWN: Reason
BACKEND_UNAVAILABLE: Reason
REQUEST_INVALID: Reason
MESSAGE_TOO_LARGE: Reason
LINK_CLOSED: Reason
TOKEN_INVALID: Reason
PROTOCOL_UNSUPPORTED: Reason
SERIALIZATION_FAILURE: Reason
TRANSACTION_IDLE: Reason
HANDLE_UNKNOWN: Reason
TASK_FAILED: Reason
TASK_UNKNOWN: Reason
LOAD_FAILED: Reason
INTERNAL: Reason
PROTOCOL_VIOLATION: Reason
BACKEND_FAILED: Reason
SERVICE_REFUSED: Reason
MESSAGE_LOCK_LOST: Reason

class Error(_message.Message):
    __slots__ = ("code", "reason", "message", "capability", "remedy", "retryable", "sql", "task", "service")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    SQL_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: Reason
    message: str
    capability: str
    remedy: str
    retryable: bool
    sql: SqlFailure
    task: TaskFailure
    service: ServiceFailure
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[_Union[Reason, str]] = ..., message: _Optional[str] = ..., capability: _Optional[str] = ..., remedy: _Optional[str] = ..., retryable: bool = ..., sql: _Optional[_Union[SqlFailure, _Mapping]] = ..., task: _Optional[_Union[TaskFailure, _Mapping]] = ..., service: _Optional[_Union[ServiceFailure, _Mapping]] = ...) -> None: ...

class SqlFailure(_message.Message):
    __slots__ = ("kind", "sqlstate")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DATABASE_ERROR: _ClassVar[SqlFailure.Kind]
        OPERATIONAL_ERROR: _ClassVar[SqlFailure.Kind]
        INTEGRITY_ERROR: _ClassVar[SqlFailure.Kind]
        PROGRAMMING_ERROR: _ClassVar[SqlFailure.Kind]
        DATA_ERROR: _ClassVar[SqlFailure.Kind]
        INTERNAL_ERROR: _ClassVar[SqlFailure.Kind]
        NOT_SUPPORTED_ERROR: _ClassVar[SqlFailure.Kind]
        INTERFACE_ERROR: _ClassVar[SqlFailure.Kind]
    DATABASE_ERROR: SqlFailure.Kind
    OPERATIONAL_ERROR: SqlFailure.Kind
    INTEGRITY_ERROR: SqlFailure.Kind
    PROGRAMMING_ERROR: SqlFailure.Kind
    DATA_ERROR: SqlFailure.Kind
    INTERNAL_ERROR: SqlFailure.Kind
    NOT_SUPPORTED_ERROR: SqlFailure.Kind
    INTERFACE_ERROR: SqlFailure.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    SQLSTATE_FIELD_NUMBER: _ClassVar[int]
    kind: SqlFailure.Kind
    sqlstate: str
    def __init__(self, kind: _Optional[_Union[SqlFailure.Kind, str]] = ..., sqlstate: _Optional[str] = ...) -> None: ...

class TaskFailure(_message.Message):
    __slots__ = ("type", "traceback")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    type: str
    traceback: str
    def __init__(self, type: _Optional[str] = ..., traceback: _Optional[str] = ...) -> None: ...

class ServiceFailure(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: str
    def __init__(self, kind: _Optional[str] = ...) -> None: ...
