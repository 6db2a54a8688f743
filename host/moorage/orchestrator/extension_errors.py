"""Why plugins are not called at extension points, or have not answered."""

from __future__ import annotations

from moorage.errors import Conflict, Invalid, MoorageError
from moorage.models.extensions import ExtensionFailure


class ExtensionFailed(MoorageError):
    """``call_one`` had no answer to return."""

    code = "extension_failed"
    http_status = 502

    def __init__(self, method: str, failure: ExtensionFailure) -> None:
        super().__init__(f"{failure.installation} has not answered {method}. {failure.sentence}")
        self.failure = failure


class ExtensionPointUnknown(Invalid):
    """What was called is no method of an extension point of this host."""

    code = "extension_point_unknown"


class ExtensionsStopped(Conflict):
    code = "extensions_stopped"

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is not called any more: the host stops. Ask the next one.")
