"""The policies of all installations, as they count now. Kept in memory: they are asked at each beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from moorage.models.installation import Installation, InstallationId
from moorage.models.manifest import Manifest
from moorage.models.policy import PolicyValue, RunPolicy
from moorage.orchestrator.policy_layers import layered, policy


class RunPolicies:
    """On the event loop's thread."""

    def __init__(self, settings: Mapping[InstallationId, Mapping[str, Any]]) -> None:
        """``settings``: checked values by key, as the settings file says."""
        self._settings = settings
        self._people: dict[InstallationId, tuple[PolicyValue, ...]] = {}
        self._worked_out: dict[InstallationId, tuple[Manifest, RunPolicy]] = {}
        #: Held by who changes one, from what it was to what was stored.
        self.changing = asyncio.Lock()

    def learn(self, name: InstallationId, values: Iterable[PolicyValue]) -> None:
        """All that people have set, as it is stored; nothing, where it was removed."""
        self._people[name] = tuple(values)
        self._worked_out.pop(name, None)

    def people(self, name: InstallationId) -> tuple[PolicyValue, ...]:
        return self._people.get(name, ())

    def of(self, installation: Installation) -> RunPolicy:
        """What counts for this version now."""
        known = self._worked_out.get(installation.id)
        if known is None or known[0] is not installation.manifest:
            known = installation.manifest, policy(self.values(installation))
            self._worked_out[installation.id] = known
        return known[1]

    def values(self, installation: Installation) -> tuple[PolicyValue, ...]:
        """The same value by value, with whose word each is."""
        settings = self._settings.get(installation.id, {})
        return layered(installation.manifest, settings, self.people(installation.id))
