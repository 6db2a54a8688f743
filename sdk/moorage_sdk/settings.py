"""The settings of the installation as they are now, read as the types that the plugin declares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, List, Mapping, Tuple

from moorage_sdk.errors import PluginInvalid
from moorage_sdk.schema import AnnotationUnsupported, Mismatch, shape_of


@dataclass(frozen=True)
class ConfigChange:
    """Injected into ``on_config_changed`` by this annotation. Keys are dotted: ``mail.from``."""

    #: Those whose values are others now, sorted; also those that came or went.
    keys: Tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


class LiveSettings:
    """What is read once is given to everybody who asks, until the settings change. On the plugin's loop."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self._read: List[Tuple[Any, Any]] = []

    def read(self, annotation: Any) -> Any:
        """Raises PluginInvalid."""
        for known, value in self._read:
            if known is annotation:
                return value
        value = _as(annotation, self.config)
        self._read.append((annotation, value))
        return value

    def change(self, config: Mapping[str, Any]) -> None:
        """From now on these are read. Raises PluginInvalid where they do not fit a type that was read before: then
        nothing has changed.
        """
        self._read = [(annotation, _as(annotation, config)) for annotation, _ in self._read]
        self.config = config


def _as(annotation: Any, config: Mapping[str, Any]) -> Any:
    try:
        return shape_of(annotation).read(dict(config), "settings")
    except (AnnotationUnsupported, Mismatch) as error:
        raise PluginInvalid(f"the installation's settings do not fit: {error}") from error
