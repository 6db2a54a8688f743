"""Settings of what starts executions, and of how they are run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from moorage.config.table import Table

#: What one trigger is, or in which parts it is another than its plugin says: as in a manifest, and checked as there
#: when the host starts.
TriggerSettings = dict[str, Any]


class PolicySettings(Table):
    """In place of what the plugin says; what is not said here is as it says."""

    concurrency: int | None = Field(default=None, ge=1, le=1024, description="Executions at one time, on one host.")
    queue: int | None = Field(default=None, ge=0, le=1_000_000, description="Executions that may wait, on one host.")
    overlap: Literal["queue", "skip", "replace"] | None = Field(
        default=None,
        description="What becomes of work that comes while other work of the same trigger or task is open.",
    )
    timeout: timedelta | None = Field(
        default=None,
        ge=timedelta(seconds=1),
        le=timedelta(days=30),
        description="Longest run of one attempt (seconds).",
    )
    retries: int | None = Field(
        default=None, ge=0, le=1_000, description="Further attempts after one that failed, timed out or crashed."
    )
    backoff_first: timedelta | None = Field(
        default=None,
        ge=timedelta(0),
        le=timedelta(days=30),
        description="Wait before the first retry, doubled with each further one, and jittered (seconds).",
    )
    backoff_most: timedelta | None = Field(
        default=None, ge=timedelta(0), le=timedelta(days=30), description="Longest wait before a retry (seconds)."
    )
    rate: str | None = Field(default=None, description='Beginnings within a time, such as "10/1 min"; "none": any.')
    idempotent: bool | None = Field(
        default=None, description="What ran when its host died is run again, instead of being abandoned."
    )

    def given(self) -> dict[str, Any]:
        """Values by key."""
        return {key: value for key, value in self.model_dump().items() if value is not None}


class OrchestratorSettings(Table):
    concurrency: int | None = Field(
        default=None, ge=1, le=100_000, description="Executions of all installations at one time, on this host."
    )
    lease: timedelta = Field(
        default=timedelta(seconds=15),
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="A host that has not renewed its lease for so long is dead, and others take over (seconds).",
    )
    poll: timedelta = Field(
        default=timedelta(seconds=1),
        ge=timedelta(milliseconds=50),
        le=timedelta(minutes=1),
        description="How often a host looks for what others have changed in the store (seconds).",
    )
