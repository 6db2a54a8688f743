from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
ACCESS_FIELD_NUMBER: _ClassVar[int]
access: _descriptor.FieldDescriptor
BULK_FIELD_NUMBER: _ClassVar[int]
bulk: _descriptor.FieldDescriptor

class Access(_message.Message):
    __slots__ = ("needs", "classify", "late", "handle", "own_reason")
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    OWN_REASON_FIELD_NUMBER: _ClassVar[int]
    needs: Needs
    classify: str
    late: Late
    handle: str
    own_reason: str
    def __init__(self, needs: _Optional[_Union[Needs, _Mapping]] = ..., classify: _Optional[str] = ..., late: _Optional[_Union[Late, _Mapping]] = ..., handle: _Optional[str] = ..., own_reason: _Optional[str] = ...) -> None: ...

class Needs(_message.Message):
    __slots__ = ("all",)
    ALL_FIELD_NUMBER: _ClassVar[int]
    all: _containers.RepeatedCompositeFieldContainer[Need]
    def __init__(self, all: _Optional[_Iterable[_Union[Need, _Mapping]]] = ...) -> None: ...

class Need(_message.Message):
    __slots__ = ("verb", "resource_paths", "resource", "says")
    VERB_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_PATHS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    SAYS_FIELD_NUMBER: _ClassVar[int]
    verb: str
    resource_paths: _containers.RepeatedScalarFieldContainer[str]
    resource: str
    says: str
    def __init__(self, verb: _Optional[str] = ..., resource_paths: _Optional[_Iterable[str]] = ..., resource: _Optional[str] = ..., says: _Optional[str] = ...) -> None: ...

class Late(_message.Message):
    __slots__ = ("verbs", "says")
    VERBS_FIELD_NUMBER: _ClassVar[int]
    SAYS_FIELD_NUMBER: _ClassVar[int]
    verbs: _containers.RepeatedScalarFieldContainer[str]
    says: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, verbs: _Optional[_Iterable[str]] = ..., says: _Optional[_Iterable[str]] = ...) -> None: ...
