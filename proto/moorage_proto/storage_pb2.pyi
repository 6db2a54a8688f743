from moorage_proto import access_pb2 as _access_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class StorageUsageRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StorageUsageReply(_message.Message):
    __slots__ = ("used_bytes", "limit_bytes", "files", "limit_files")
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FILES_FIELD_NUMBER: _ClassVar[int]
    used_bytes: int
    limit_bytes: int
    files: int
    limit_files: int
    def __init__(self, used_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., files: _Optional[int] = ..., limit_files: _Optional[int] = ...) -> None: ...
