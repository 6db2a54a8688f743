"""A contract with every kind of access rule and handler, made at run time from messages of the real one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool

from moorage_proto import access_pb2, config_pb2, kafka_pb2, log_pb2, sql_pb2
from moorage_proto.methods import Method, methods_of

_NEED_KEY = access_pb2.Access(needs=access_pb2.Needs(all=[access_pb2.Need(verb="config.read", resource_paths=["key"])]))
_NEED_TOPIC = access_pb2.Access(
    needs=access_pb2.Needs(all=[access_pb2.Need(verb="kafka.produce", resource_paths=["topic"])])
)
_NEED_LOGGERS = access_pb2.Access(
    needs=access_pb2.Needs(all=[access_pb2.Need(verb="log.name", resource_paths=["records.logger"])])
)
_LATE = access_pb2.Access(late=access_pb2.Late(verbs=["sql.read", "sql.write"]))
_CURSOR = access_pb2.Access(handle="cursor")
_OWN = access_pb2.Access(own_reason="a test's own")

#: name, request, reply, requests stream, replies stream, rule
_METHODS: tuple[tuple[str, Any, Any, bool, bool, access_pb2.Access], ...] = (
    ("Peek", config_pb2.GetSettingRequest, config_pb2.GetSettingReply, False, False, _NEED_KEY),
    ("Send", kafka_pb2.ProduceRequest, kafka_pb2.ProduceReply, False, False, _NEED_TOPIC),
    ("SendMany", kafka_pb2.ProduceRequest, kafka_pb2.ProduceReply, True, False, _NEED_TOPIC),
    ("Echo", kafka_pb2.ProduceRequest, kafka_pb2.ProduceReply, True, True, _NEED_TOPIC),
    ("Name", log_pb2.WriteLogRequest, log_pb2.WriteLogReply, False, False, _NEED_LOGGERS),
    ("Connect", sql_pb2.ConnectRequest, sql_pb2.ConnectReply, False, False, _LATE),
    ("Query", sql_pb2.ExecuteRequest, sql_pb2.Rows, False, True, _LATE),
    ("Read", sql_pb2.FetchRequest, sql_pb2.Rows, False, True, _CURSOR),
    ("Own", log_pb2.WriteLogRequest, log_pb2.WriteLogReply, False, False, _OWN),
)


def _full_name(message: Any) -> str:
    return f".{message.DESCRIPTOR.full_name}"


def make_service(file: str, methods: tuple[tuple[str, Any, Any, bool, bool, access_pb2.Access | None], ...]) -> Any:
    """The ServiceDescriptor `moorage.test.<file>.Probe`; None as a rule declares none."""
    proto = descriptor_pb2.FileDescriptorProto(
        name=f"test/{file}.proto", package=f"moorage.test.{file}", syntax="proto3"
    )
    proto.dependency.extend(["moorage_proto/access.proto"])
    service = proto.service.add(name="Probe")
    for name, request, reply, client_streaming, server_streaming, rule in methods:
        for needed in (request.DESCRIPTOR.file.name, reply.DESCRIPTOR.file.name):
            if needed not in proto.dependency:
                proto.dependency.append(needed)
        method = service.method.add(
            name=name,
            input_type=_full_name(request),
            output_type=_full_name(reply),
            client_streaming=client_streaming,
            server_streaming=server_streaming,
        )
        if rule is not None:
            method.options.Extensions[access_pb2.access].CopyFrom(rule)
    return descriptor_pool.Default().AddSerializedFile(proto.SerializeToString()).services_by_name["Probe"]


PROBE = make_service("probe", _METHODS)

#: By their Python names: "send_many".
METHODS: Mapping[str, Method[Any, Any]] = methods_of(PROBE)
