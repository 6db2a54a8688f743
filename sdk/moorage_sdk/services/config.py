"""The settings of this installation, read by key. For all of them at once declare a settings class."""

from __future__ import annotations

from typing import Any, Optional, Tuple

from moorage_proto import config_pb2, values
from moorage_proto.methods import Method, service_methods
from moorage_sdk.channel import Channel
from moorage_sdk.services.base import Ask, Provided

_GET: Method[config_pb2.GetSettingRequest, config_pb2.GetSettingReply] = service_methods(config_pb2, "ConfigService")[
    "get"
]


class Config:
    """Settings by dotted key, each read from the host when it is asked for: ``config["mail.from"]``.

    Reading a key that the installation was not granted raises CapabilityMissing. In coroutines prefer ``get_async``.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __getitem__(self, key: str) -> Any:
        """Raises KeyError where there is no such setting."""
        reply = self._channel.call(_GET, config_pb2.GetSettingRequest(key=key))
        if not reply.found:
            raise KeyError(key)
        return values.from_wire(reply.value)

    def __contains__(self, key: str) -> bool:
        return self._channel.call(_GET, config_pb2.GetSettingRequest(key=key)).found

    def get(self, key: str, default: Any = None) -> Any:
        return _value(self._channel.call(_GET, config_pb2.GetSettingRequest(key=key)), default)

    async def get_async(self, key: str, default: Any = None) -> Any:
        return _value(await self._channel.call_async(_GET, config_pb2.GetSettingRequest(key=key)), default)


class ConfigFace:
    """``Optional[Config]`` is None when no setting may be read."""

    provides: Tuple[str, ...] = ("moorage_sdk.services.config:Config",)
    per_scope = False
    capability_verbs: Tuple[str, ...] = ("config.read",)

    def make(self, ask: Ask) -> Provided:
        return Provided(Config(ask.channel))


def _value(reply: config_pb2.GetSettingReply, default: Optional[Any]) -> Any:
    return values.from_wire(reply.value) if reply.found else default
