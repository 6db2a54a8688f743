"""The composition root: the only place that chooses between implementations, and the face for applications."""

from moorage.app.executions import ExecutionFailed
from moorage.app.hooks import Refused
from moorage.app.host import Host
from moorage.broker.services.base import Caller
from moorage.broker.services.typed import implements
from moorage.config.settings import Settings
from moorage.models.extensions import Answers, ExtensionFailure, FailureKind, FirstAnswer
from moorage.orchestrator.extension_errors import ExtensionFailed
from moorage.orchestrator.triggers.base import Door, Fate, NotNow, Signal, Taken
from moorage_proto.typed import ServiceError, capability, extension_point, guarded, own, service

__all__ = [
    "Answers",
    "Caller",
    "Door",
    "ExecutionFailed",
    "ExtensionFailed",
    "ExtensionFailure",
    "FailureKind",
    "Fate",
    "FirstAnswer",
    "Host",
    "NotNow",
    "Refused",
    "ServiceError",
    "Settings",
    "Signal",
    "Taken",
    "capability",
    "extension_point",
    "guarded",
    "implements",
    "own",
    "service",
]
