"""How long the store keeps what happened."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from moorage.config.table import Table

_NEVER = timedelta(0)


class RetentionSettings(Table):
    """0: kept for ever, however much it is."""

    executions_age: timedelta = Field(
        default=timedelta(days=90), ge=_NEVER, description="Since an execution has ended (seconds); 0: any."
    )
    executions_each: int = Field(
        default=10_000, ge=0, description="Executions of one installation that have ended; 0: any number."
    )
    logs_age: timedelta = Field(default=timedelta(days=30), ge=_NEVER, description="Of log lines (seconds); 0: any.")
    logs_bytes: int = Field(
        default=1024**3, ge=0, description="Text of the log lines of all installations together; 0: any."
    )
    audit_age: timedelta = Field(
        default=timedelta(days=365), ge=_NEVER, description="Of entries of the audit (seconds); 0: any."
    )
    incarnations_age: timedelta = Field(
        default=timedelta(days=90),
        ge=_NEVER,
        description="Since a worker has ended (seconds); the newest of each installation stays. 0: any.",
    )
    interval: timedelta = Field(
        default=timedelta(minutes=10), ge=timedelta(seconds=1), description="Between two looks at it (seconds)."
    )
