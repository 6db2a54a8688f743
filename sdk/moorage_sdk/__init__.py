"""What a Moorage plugin is written with: declare tasks on a ``Plugin`` and ask for what they need by annotations."""

from __future__ import annotations

from moorage_proto.typed import extension_point
from moorage_sdk.context import Context
from moorage_sdk.errors import (
    BackendError,
    Cancelled,
    CapabilityMissing,
    DeadlineExceeded,
    HostUnavailable,
    MoorageError,
    PluginInvalid,
    QuotaExceeded,
    ScopeClosed,
    SerializationFailure,
    ServiceRefused,
)
from moorage_sdk.handover import Handover
from moorage_sdk.markers import Backend, Settings
from moorage_sdk.plugin import Plugin

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "BackendError",
    "Cancelled",
    "CapabilityMissing",
    "Context",
    "DeadlineExceeded",
    "Handover",
    "HostUnavailable",
    "MoorageError",
    "Plugin",
    "PluginInvalid",
    "QuotaExceeded",
    "ScopeClosed",
    "SerializationFailure",
    "ServiceRefused",
    "Settings",
    "__version__",
    "extension_point",
]
