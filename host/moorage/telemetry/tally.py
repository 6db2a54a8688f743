"""Exact counts of what plugins do, in memory that no plugin can make grow. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from moorage.models.audit import AuditEntry, AuditKind
from moorage.models.installation import InstallationId

#: Different things counted apart for each installation; the rest is counted together.
KEYS_PER_INSTALLATION = 500

_MINUTE_SECONDS = 60


def minute_of(time: datetime) -> int:
    return int(time.timestamp()) // _MINUTE_SECONDS


@dataclass
class _Denied:
    first: AuditEntry
    more: int = 0


class Denials:
    """The first denial of each (installation, capability, minute) is kept in full, the others are counted.

    The counts of all entries together are the number of denials, whatever happens.
    """

    def __init__(self) -> None:
        self._bins: dict[tuple[InstallationId, str, int], _Denied] = {}
        self._keys: Counter[InstallationId] = Counter()
        self._others: dict[InstallationId, _Denied] = {}

    def add(self, entry: AuditEntry) -> AuditEntry | None:
        """The entry, where it is to be kept in full."""
        key = (entry.installation, entry.capability, minute_of(entry.time))
        found = self._bins.get(key)
        if found is not None:
            found.more += entry.count
            return None
        if self._keys[entry.installation] >= KEYS_PER_INSTALLATION:
            self._others.setdefault(entry.installation, _Denied(entry)).more += entry.count
            return None
        self._keys[entry.installation] += 1
        self._bins[key] = _Denied(entry)
        return entry

    def take(self, now: datetime, *, everything: bool) -> list[AuditEntry]:
        """Entries for what was counted in minutes that are over, or until now; these counts begin anew."""
        minute = minute_of(now)
        taken = []
        for key, found in list(self._bins.items()):
            # Also when the clock was set back: that minute may be far off.
            over = key[2] != minute
            if found.more and (over or everything):
                began = datetime.fromtimestamp(key[2] * _MINUTE_SECONDS, UTC)
                message = f"{found.more} more like it in the minute from {began:%H:%M} UTC."
                taken.append(replace(found.first, time=now, message=message, count=found.more, execution=""))
                found.more = 0
            if over:
                del self._bins[key]
                self._forget(key[0])
        return taken + self._take_others(now)

    def _take_others(self, now: datetime) -> list[AuditEntry]:
        others, self._others = self._others, {}
        return [
            AuditEntry(
                time=now,
                kind=AuditKind.DENIED,
                installation=installation,
                actor=found.first.actor,
                action="",
                message=f"{found.more} denials of further capabilities, of which there were too many to name.",
                count=found.more,
            )
            for installation, found in others.items()
        ]

    def _forget(self, installation: InstallationId) -> None:
        self._keys[installation] -= 1
        if not self._keys[installation]:
            del self._keys[installation]


class Passages:
    """Calls that the gate let through, counted by installation, actor, method and capability."""

    def __init__(self) -> None:
        self._counts: dict[tuple[InstallationId, str, str, str], int] = {}
        self._keys: Counter[InstallationId] = Counter()

    def add(self, installation: InstallationId, actor: str, method: str, capability: str) -> None:
        key = (installation, actor, method, capability)
        count = self._counts.get(key)
        if count is None:
            self._add_new(key)
        else:
            self._counts[key] = count + 1

    def take(self, now: datetime) -> list[AuditEntry]:
        """Entries for all that was counted; counting begins anew."""
        counts, self._counts = self._counts, {}
        self._keys.clear()
        return [
            AuditEntry(
                time=now,
                kind=AuditKind.ALLOWED,
                installation=installation,
                actor=actor,
                action=method,
                capability=capability,
                message="" if method else f"{count} calls of further kinds, of which there were too many to name.",
                count=count,
            )
            for (installation, actor, method, capability), count in counts.items()
        ]

    def _add_new(self, key: tuple[InstallationId, str, str, str]) -> None:
        installation = key[0]
        if self._keys[installation] >= KEYS_PER_INSTALLATION:
            key = (installation, "", "", "")
        else:
            self._keys[installation] += 1
        self._counts[key] = self._counts.get(key, 0) + 1
