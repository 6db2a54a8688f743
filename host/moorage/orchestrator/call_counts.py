"""Calls of extensions, counted since the host started."""

from __future__ import annotations

from dataclasses import replace

from moorage.clock import Clock
from moorage.models.extensions import CallCounts, ExtensionFailure
from moorage.models.installation import InstallationId

_NONE = CallCounts()


class CallCounter:
    """By extension point and installation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, InstallationId], CallCounts] = {}

    def of(self, point: str, installation: InstallationId) -> CallCounts:
        return self._counts.get((point, installation), _NONE)

    def called(self, point: str, installation: InstallationId) -> None:
        counts = self.of(point, installation)
        self._counts[point, installation] = replace(counts, calls=counts.calls + 1)

    def failed(self, point: str, failure: ExtensionFailure) -> None:
        """Also of one that never came to be called."""
        counts, now = self.of(point, failure.installation), self._clock.now()
        self._counts[point, failure.installation] = replace(
            counts, failures=counts.failures + 1, last_failure=failure.sentence, last_failure_at=now
        )

    def forget(self, present: frozenset[InstallationId]) -> None:
        """All but those of present installations."""
        for key in [key for key in self._counts if key[1] not in present]:
            del self._counts[key]
