from moorage_proto import access_pb2 as _access_pb2
from moorage_proto import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServiceBusMessage(_message.Message):
    __slots__ = ("body", "application_properties", "message_id", "session_id", "correlation_id", "content_type", "subject", "to", "reply_to", "reply_to_session_id", "partition_key", "time_to_live_millis", "scheduled_enqueue_time_millis")
    BODY_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PARTITION_KEY_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_LIVE_MILLIS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_ENQUEUE_TIME_MILLIS_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    application_properties: _value_pb2.Record
    message_id: str
    session_id: str
    correlation_id: str
    content_type: str
    subject: str
    to: str
    reply_to: str
    reply_to_session_id: str
    partition_key: str
    time_to_live_millis: int
    scheduled_enqueue_time_millis: int
    def __init__(self, body: _Optional[bytes] = ..., application_properties: _Optional[_Union[_value_pb2.Record, _Mapping]] = ..., message_id: _Optional[str] = ..., session_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., content_type: _Optional[str] = ..., subject: _Optional[str] = ..., to: _Optional[str] = ..., reply_to: _Optional[str] = ..., reply_to_session_id: _Optional[str] = ..., partition_key: _Optional[str] = ..., time_to_live_millis: _Optional[int] = ..., scheduled_enqueue_time_millis: _Optional[int] = ...) -> None: ...

class ServiceBusReceivedMessage(_message.Message):
    __slots__ = ("delivery", "message", "value", "sequence_number", "delivery_count", "enqueued_time_millis", "locked_until_millis", "expires_at_millis", "lock_token", "dead_letter_reason", "dead_letter_error_description", "dead_letter_source", "enqueued_sequence_number", "state")
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_COUNT_FIELD_NUMBER: _ClassVar[int]
    ENQUEUED_TIME_MILLIS_FIELD_NUMBER: _ClassVar[int]
    LOCKED_UNTIL_MILLIS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MILLIS_FIELD_NUMBER: _ClassVar[int]
    LOCK_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_REASON_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_ERROR_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_SOURCE_FIELD_NUMBER: _ClassVar[int]
    ENQUEUED_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    delivery: int
    message: ServiceBusMessage
    value: _value_pb2.Value
    sequence_number: int
    delivery_count: int
    enqueued_time_millis: int
    locked_until_millis: int
    expires_at_millis: int
    lock_token: bytes
    dead_letter_reason: str
    dead_letter_error_description: str
    dead_letter_source: str
    enqueued_sequence_number: int
    state: int
    def __init__(self, delivery: _Optional[int] = ..., message: _Optional[_Union[ServiceBusMessage, _Mapping]] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., sequence_number: _Optional[int] = ..., delivery_count: _Optional[int] = ..., enqueued_time_millis: _Optional[int] = ..., locked_until_millis: _Optional[int] = ..., expires_at_millis: _Optional[int] = ..., lock_token: _Optional[bytes] = ..., dead_letter_reason: _Optional[str] = ..., dead_letter_error_description: _Optional[str] = ..., dead_letter_source: _Optional[str] = ..., enqueued_sequence_number: _Optional[int] = ..., state: _Optional[int] = ...) -> None: ...

class ServiceBusSendRequest(_message.Message):
    __slots__ = ("backend", "entity", "messages")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    backend: str
    entity: str
    messages: _containers.RepeatedCompositeFieldContainer[ServiceBusMessage]
    def __init__(self, backend: _Optional[str] = ..., entity: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ServiceBusMessage, _Mapping]]] = ...) -> None: ...

class ServiceBusSendReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServiceBusScheduleRequest(_message.Message):
    __slots__ = ("backend", "entity", "messages", "enqueue_time_millis")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ENQUEUE_TIME_MILLIS_FIELD_NUMBER: _ClassVar[int]
    backend: str
    entity: str
    messages: _containers.RepeatedCompositeFieldContainer[ServiceBusMessage]
    enqueue_time_millis: int
    def __init__(self, backend: _Optional[str] = ..., entity: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ServiceBusMessage, _Mapping]]] = ..., enqueue_time_millis: _Optional[int] = ...) -> None: ...

class ServiceBusScheduleReply(_message.Message):
    __slots__ = ("sequence_numbers",)
    SEQUENCE_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    sequence_numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, sequence_numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class ServiceBusCancelScheduledRequest(_message.Message):
    __slots__ = ("backend", "entity", "sequence_numbers")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    backend: str
    entity: str
    sequence_numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, backend: _Optional[str] = ..., entity: _Optional[str] = ..., sequence_numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class ServiceBusCancelScheduledReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServiceBusOpenReceiverRequest(_message.Message):
    __slots__ = ("backend", "entity", "receive_and_delete")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_AND_DELETE_FIELD_NUMBER: _ClassVar[int]
    backend: str
    entity: str
    receive_and_delete: bool
    def __init__(self, backend: _Optional[str] = ..., entity: _Optional[str] = ..., receive_and_delete: bool = ...) -> None: ...

class ServiceBusOpenReceiverReply(_message.Message):
    __slots__ = ("receiver",)
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    receiver: int
    def __init__(self, receiver: _Optional[int] = ...) -> None: ...

class ServiceBusReceiveRequest(_message.Message):
    __slots__ = ("receiver", "max_messages", "max_wait_millis")
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_MILLIS_FIELD_NUMBER: _ClassVar[int]
    receiver: int
    max_messages: int
    max_wait_millis: int
    def __init__(self, receiver: _Optional[int] = ..., max_messages: _Optional[int] = ..., max_wait_millis: _Optional[int] = ...) -> None: ...

class ServiceBusMessages(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ServiceBusReceivedMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[ServiceBusReceivedMessage, _Mapping]]] = ...) -> None: ...

class ServiceBusReceiveDeferredRequest(_message.Message):
    __slots__ = ("receiver", "sequence_numbers")
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    receiver: int
    sequence_numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, receiver: _Optional[int] = ..., sequence_numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class ServiceBusPeekRequest(_message.Message):
    __slots__ = ("receiver", "max_messages", "from_sequence_number")
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    receiver: int
    max_messages: int
    from_sequence_number: int
    def __init__(self, receiver: _Optional[int] = ..., max_messages: _Optional[int] = ..., from_sequence_number: _Optional[int] = ...) -> None: ...

class ServiceBusSettleRequest(_message.Message):
    __slots__ = ("receiver", "delivery", "settlement", "reason", "error_description")
    class Settlement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[ServiceBusSettleRequest.Settlement]
        COMPLETE: _ClassVar[ServiceBusSettleRequest.Settlement]
        ABANDON: _ClassVar[ServiceBusSettleRequest.Settlement]
        DEFER: _ClassVar[ServiceBusSettleRequest.Settlement]
        DEAD_LETTER: _ClassVar[ServiceBusSettleRequest.Settlement]
    UNSPECIFIED: ServiceBusSettleRequest.Settlement
    COMPLETE: ServiceBusSettleRequest.Settlement
    ABANDON: ServiceBusSettleRequest.Settlement
    DEFER: ServiceBusSettleRequest.Settlement
    DEAD_LETTER: ServiceBusSettleRequest.Settlement
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    receiver: int
    delivery: int
    settlement: ServiceBusSettleRequest.Settlement
    reason: str
    error_description: str
    def __init__(self, receiver: _Optional[int] = ..., delivery: _Optional[int] = ..., settlement: _Optional[_Union[ServiceBusSettleRequest.Settlement, str]] = ..., reason: _Optional[str] = ..., error_description: _Optional[str] = ...) -> None: ...

class ServiceBusSettleReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServiceBusRenewLockRequest(_message.Message):
    __slots__ = ("receiver", "delivery")
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    receiver: int
    delivery: int
    def __init__(self, receiver: _Optional[int] = ..., delivery: _Optional[int] = ...) -> None: ...

class ServiceBusRenewLockReply(_message.Message):
    __slots__ = ("locked_until_millis",)
    LOCKED_UNTIL_MILLIS_FIELD_NUMBER: _ClassVar[int]
    locked_until_millis: int
    def __init__(self, locked_until_millis: _Optional[int] = ...) -> None: ...

class ServiceBusCloseReceiverRequest(_message.Message):
    __slots__ = ("receiver",)
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    receiver: int
    def __init__(self, receiver: _Optional[int] = ...) -> None: ...

class ServiceBusCloseReceiverReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
