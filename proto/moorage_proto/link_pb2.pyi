from moorage_proto import error_pb2 as _error_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Batch(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    def __init__(self, frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("call_id", "more", "hello", "welcome", "attach", "call", "reply", "error", "cancel", "item", "credit", "end", "ping", "pong", "go_away", "chunk")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    GO_AWAY_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    call_id: int
    more: bool
    hello: Hello
    welcome: Welcome
    attach: Attach
    call: Call
    reply: bytes
    error: _error_pb2.Error
    cancel: Cancel
    item: bytes
    credit: Credit
    end: End
    ping: Ping
    pong: Pong
    go_away: GoAway
    chunk: bytes
    def __init__(self, call_id: _Optional[int] = ..., more: bool = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., attach: _Optional[_Union[Attach, _Mapping]] = ..., call: _Optional[_Union[Call, _Mapping]] = ..., reply: _Optional[bytes] = ..., error: _Optional[_Union[_error_pb2.Error, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., item: _Optional[bytes] = ..., credit: _Optional[_Union[Credit, _Mapping]] = ..., end: _Optional[_Union[End, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., go_away: _Optional[_Union[GoAway, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_versions", "token", "sdk_version", "python_version", "protobuf_version", "grpcio_version", "features")
    PROTOCOL_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SDK_VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOBUF_VERSION_FIELD_NUMBER: _ClassVar[int]
    GRPCIO_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    protocol_versions: _containers.RepeatedScalarFieldContainer[int]
    token: bytes
    sdk_version: str
    python_version: str
    protobuf_version: str
    grpcio_version: str
    features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_versions: _Optional[_Iterable[int]] = ..., token: _Optional[bytes] = ..., sdk_version: _Optional[str] = ..., python_version: _Optional[str] = ..., protobuf_version: _Optional[str] = ..., grpcio_version: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol_version", "features", "limits", "installation", "incarnation_number", "incarnation_scope", "log_level", "capabilities", "sql_backends", "lane_ticket", "contracts", "logger_levels")
    class LoggerLevelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    INSTALLATION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_SCOPE_FIELD_NUMBER: _ClassVar[int]
    LOG_LEVEL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    SQL_BACKENDS_FIELD_NUMBER: _ClassVar[int]
    LANE_TICKET_FIELD_NUMBER: _ClassVar[int]
    CONTRACTS_FIELD_NUMBER: _ClassVar[int]
    LOGGER_LEVELS_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    features: _containers.RepeatedScalarFieldContainer[str]
    limits: Limits
    installation: str
    incarnation_number: int
    incarnation_scope: str
    log_level: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    sql_backends: _containers.RepeatedCompositeFieldContainer[SqlBackend]
    lane_ticket: bytes
    contracts: bytes
    logger_levels: _containers.ScalarMap[str, int]
    def __init__(self, protocol_version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., installation: _Optional[str] = ..., incarnation_number: _Optional[int] = ..., incarnation_scope: _Optional[str] = ..., log_level: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., sql_backends: _Optional[_Iterable[_Union[SqlBackend, _Mapping]]] = ..., lane_ticket: _Optional[bytes] = ..., contracts: _Optional[bytes] = ..., logger_levels: _Optional[_Mapping[str, int]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_frame_bytes", "max_message_bytes", "initial_credit_bytes", "max_lanes", "max_open_calls")
    MAX_FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    INITIAL_CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_LANES_FIELD_NUMBER: _ClassVar[int]
    MAX_OPEN_CALLS_FIELD_NUMBER: _ClassVar[int]
    max_frame_bytes: int
    max_message_bytes: int
    initial_credit_bytes: int
    max_lanes: int
    max_open_calls: int
    def __init__(self, max_frame_bytes: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., initial_credit_bytes: _Optional[int] = ..., max_lanes: _Optional[int] = ..., max_open_calls: _Optional[int] = ...) -> None: ...

class SqlBackend(_message.Message):
    __slots__ = ("name", "dialect", "paramstyle", "server_version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIALECT_FIELD_NUMBER: _ClassVar[int]
    PARAMSTYLE_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    dialect: str
    paramstyle: str
    server_version: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., dialect: _Optional[str] = ..., paramstyle: _Optional[str] = ..., server_version: _Optional[_Iterable[int]] = ...) -> None: ...

class Attach(_message.Message):
    __slots__ = ("ticket", "lane")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    ticket: bytes
    lane: int
    def __init__(self, ticket: _Optional[bytes] = ..., lane: _Optional[int] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("method", "request", "scope", "deadline_ms", "traceparent")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    method: str
    request: bytes
    scope: str
    deadline_ms: int
    traceparent: str
    def __init__(self, method: _Optional[str] = ..., request: _Optional[bytes] = ..., scope: _Optional[str] = ..., deadline_ms: _Optional[int] = ..., traceparent: _Optional[str] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Credit(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Ping(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("nonce",)
    NONCE_FIELD_NUMBER: _ClassVar[int]
    nonce: int
    def __init__(self, nonce: _Optional[int] = ...) -> None: ...

class GoAway(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...
