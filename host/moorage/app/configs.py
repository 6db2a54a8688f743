"""The settings of all installations, as they count now.

Kept in memory in their layers, so that what a worker is given, and what its calls are answered with, needs no store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from moorage.config.settings import InstallationSettings, Settings
from moorage.models.config import ConfigEntry, ConfigOrder, ConfigOrigin, ConfigValue
from moorage.models.installation import Installation, InstallationId
from moorage.models.manifest import Manifest
from moorage.packages.config_layers import concerned, flattened, merged, nested
from moorage.packages.config_schema import ConfigInvalid, effective_config


class Configs:
    """On the event loop's thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._run_time: dict[InstallationId, dict[str, ConfigValue]] = {}
        #: What was worked out for the versions of an installation; forgotten with each change.
        self._worked_out: dict[InstallationId, list[tuple[Manifest, Mapping[str, Any]]]] = {}
        self._changing: dict[InstallationId, asyncio.Lock] = {}

    def changing(self, name: InstallationId) -> asyncio.Lock:
        """Held by who changes its settings: from what they were to what was stored."""
        return self._changing.setdefault(name, asyncio.Lock())

    def learn(self, name: InstallationId, values: Iterable[ConfigValue]) -> None:
        """All that is set at run time, as it is stored."""
        self._run_time[name] = {value.key: value for value in values}
        self._worked_out.pop(name, None)

    def forget(self, name: InstallationId) -> None:
        """It was removed."""
        self._run_time.pop(name, None)
        self._worked_out.pop(name, None)

    def run_time(self, name: InstallationId) -> Mapping[str, ConfigValue]:
        return self._run_time.get(name, {})

    def effective(
        self, name: InstallationId, manifest: Manifest, run_time: Mapping[str, ConfigValue] | None = None
    ) -> dict[str, Any]:
        """What all layers come to for a version; ``run_time`` in place of what is set now.

        Raises ConfigInvalid.
        """
        values = self.run_time(name) if run_time is None else run_time
        own = nested({value.key: value.value for value in values.values()})
        try:
            return effective_config(name, manifest, merged(self._file(name), own))
        except ConfigInvalid as error:
            raise _with_remedy(name, values, error) from error

    def of(self, installation: Installation) -> Mapping[str, Any]:
        """What counts for this version now. Raises ConfigInvalid."""
        known = self._worked_out.setdefault(installation.id, [])
        for manifest, config in known:
            if manifest is installation.manifest:
                return config
        config = self.effective(installation.id, installation.manifest)
        # Versions come and go: the newest are those that are asked for.
        known[:] = [(installation.manifest, config), *known[:3]]
        return config

    def of_or_empty(self, installation: Installation) -> Mapping[str, Any]:
        """What counts now; nothing where that does not fit the schema."""
        try:
            return self.of(installation)
        except ConfigInvalid:
            return {}

    def entries(self, name: InstallationId, config: Mapping[str, Any]) -> tuple[ConfigEntry, ...]:
        """Each of these settings with where it comes from."""
        own, file = self.run_time(name), flattened(self._file(name))
        return tuple(_entry(key, value, own, file) for key, value in sorted(flattened(config).items()))

    def layers(self, name: InstallationId) -> Mapping[str, Any]:
        """What is set, without defaults and unchecked."""
        own = nested({value.key: value.value for value in self.run_time(name).values()})
        return merged(self._file(name), own)

    def after(
        self, name: InstallationId, order: ConfigOrder, by: str
    ) -> tuple[dict[str, ConfigValue], tuple[str, ...]]:
        """What would be set at run time after a change, and the keys that go. Changes nothing."""
        now, values = datetime.now(UTC), dict(self.run_time(name))
        given = {key: value for key, part in order.set.items() for key, value in flattened({key: part}).items()}
        gone = [key for wanted in (*order.unset, *order.set) for key in concerned(values, wanted)]
        for key in gone:
            values.pop(key, None)
        values.update({key: ConfigValue(key, value, by, now) for key, value in given.items()})
        return values, tuple(dict.fromkeys(gone))

    def _file(self, name: InstallationId) -> Mapping[str, Any]:
        return self._settings.installations.get(name, InstallationSettings()).config


def given_values(config: Mapping[str, Any], by: str) -> Sequence[ConfigValue]:
    """Settings that came with an installation: set at run time, one by one."""
    now = datetime.now(UTC)
    return [ConfigValue(key, value, by, now) for key, value in flattened(config).items()]


def _entry(key: str, value: Any, own: Mapping[str, ConfigValue], file: Mapping[str, Any]) -> ConfigEntry:
    if key in own:
        return ConfigEntry(key, value, ConfigOrigin.RUN_TIME, own[key].set_by, own[key].set_at)
    return ConfigEntry(key, value, ConfigOrigin.SETTINGS if key in file else ConfigOrigin.DEFAULT)


def _with_remedy(name: InstallationId, values: Mapping[str, ConfigValue], error: ConfigInvalid) -> ConfigInvalid:
    if not values:
        return error
    listed = ", ".join(values)
    return ConfigInvalid(f"{error}\nSet at run time: {listed}. To take one back: moorage config {name} unset KEY")
