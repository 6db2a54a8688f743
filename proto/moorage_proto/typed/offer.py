"""What a host tells its workers of the contracts that it serves: enough to compare them, packed."""

from __future__ import annotations

import zlib
from typing import Any, Dict, Iterable

from google.protobuf import descriptor_pb2

#: Of all contracts of a host: they travel in a frame of the handshake.
MAX_BYTES = 32 * 1024


def pack(files: Iterable[Any]) -> bytes:
    """Of FileDescriptorProtos, without the access rules; empty for none."""
    offered = descriptor_pb2.FileDescriptorSet()
    for file in files:
        added = offered.file.add()
        added.CopyFrom(file)
        for service in added.service:
            for method in service.method:
                method.ClearField("options")
    return zlib.compress(offered.SerializeToString(), 9) if offered.file else b""


def unpack(data: bytes) -> Dict[str, Any]:
    """By package."""
    if not data:
        return {}
    offered = descriptor_pb2.FileDescriptorSet.FromString(zlib.decompress(data))
    return {file.package: file for file in offered.file}
