"""Settings for tests: ``moorage.config["greeting"] = "Hello"``. Begins with the defaults of the manifest's schema."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from moorage_proto import config_pb2, link_pb2, values
from moorage_sdk.testing.base import FakeCaller


class FakeConfig:
    """Nested by dots: ``config["mail.from"]`` is ``from`` inside ``mail``."""

    name = "config"
    contract = config_pb2.DESCRIPTOR.services_by_name["ConfigService"]

    def __init__(self) -> None:
        self.settings: Dict[str, Any] = {}

    def get(self, caller: FakeCaller, request: config_pb2.GetSettingRequest) -> config_pb2.GetSettingReply:  # noqa: ARG002 - anyone whom the gate let through
        try:
            return config_pb2.GetSettingReply(found=True, value=values.to_wire(self[request.key]))
        except KeyError:
            return config_pb2.GetSettingReply(found=False)

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """Settings come with the plugin's loading, not with the handshake."""

    def close(self) -> None:
        """Nothing is held."""

    def update(self, settings: Mapping[str, Any]) -> None:
        for key, value in settings.items():
            self[key] = value

    def __getitem__(self, key: str) -> Any:
        found: Any = self.settings
        for part in key.split("."):
            if not isinstance(found, Mapping):
                raise KeyError(key)
            found = found[part]
        return found

    def __setitem__(self, key: str, value: Any) -> None:
        *parts, last = key.split(".")
        table = self.settings
        for part in parts:
            table = table.setdefault(part, {})
        table[last] = value
