"""What became of something that was asked of all installations that a selector selects."""

from __future__ import annotations

from dataclasses import dataclass

from moorage.models.execution import Execution
from moorage.models.installation import InstallationId


@dataclass(frozen=True)
class NotBegun:
    """There is no execution, not even a rejected one."""

    installation: InstallationId
    #: Of the error: for programs, and a sentence.
    code: str
    problem: str


@dataclass(frozen=True)
class SelectedRuns:
    """By name of their installations."""

    executions: tuple[Execution, ...] = ()
    failures: tuple[NotBegun, ...] = ()
