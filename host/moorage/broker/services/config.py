"""Config: the settings of the caller's own installation, by dotted key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moorage.broker.services.base import Caller
from moorage.models.installation import InstallationId
from moorage_proto import config_pb2, values
from moorage_proto.errors import CallError, Reason, Status

#: The settings of an installation as they are now; the incarnation that asks may be one that a reload tries.
Lookup = Callable[[InstallationId, str], Mapping[str, Any]]


class ConfigService:
    contract = config_pb2.DESCRIPTOR.services_by_name["ConfigService"]

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def get(self, caller: Caller, request: config_pb2.GetSettingRequest) -> config_pb2.GetSettingReply:
        """A single setting. A table is refused: the capability for its name says nothing of what is below it."""
        found, value = setting(self._lookup(caller.installation, caller.incarnation), request.key)
        if not found:
            return config_pb2.GetSettingReply(found=False)
        if isinstance(value, Mapping):
            sentence = f"{request.key!r} is a table of settings; ask for one of them, such as {request.key}.name."
            raise CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)
        return config_pb2.GetSettingReply(found=True, value=values.to_wire(value))


def setting(settings: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    """Whether there is a setting at a dotted key, and its value."""
    value: Any = settings
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value
