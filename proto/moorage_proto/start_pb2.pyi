from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class StartRecord(_message.Message):
    __slots__ = ("token", "socket", "entry_point")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    ENTRY_POINT_FIELD_NUMBER: _ClassVar[int]
    token: bytes
    socket: str
    entry_point: str
    def __init__(self, token: _Optional[bytes] = ..., socket: _Optional[str] = ..., entry_point: _Optional[str] = ...) -> None: ...
