"""What a reload did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from moorage.models.installation import InstallationId
from moorage.models.manifest import ReloadMode


@dataclass(frozen=True)
class ReloadReport:
    installation: InstallationId
    mode: ReloadMode
    from_version: str
    to_version: str
    #: Numbers of the workers that went and came; none where nothing ran.
    old: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    #: Executions that the old workers brought to their end.
    drained: tuple[str, ...] = ()
    #: How long no worker took new executions; they waited meanwhile.
    gap: timedelta = timedelta()

    @property
    def sentence(self) -> str:
        versions = self.to_version
        if self.from_version != self.to_version:
            versions = f"{self.from_version} -> {self.to_version}"
        if not self.new:
            return f"{self.installation} {versions}: installed; it does not run."
        went = f"{_numbers(self.old)} went after " if self.old else ""
        drained = f"{_counted(len(self.drained), 'execution')}; " if self.old else ""
        gap = f"{self.gap.total_seconds() * 1000:.0f} ms"
        return (
            f"{self.installation} {versions}: {_numbers(self.new)} serves; {went}{drained}no execution began for {gap}."
        )


def _numbers(numbers: tuple[int, ...]) -> str:
    return ", ".join(f"#{number}" for number in numbers)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
