"""What the audit keeps, and where."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from moorage.config.table import Folder, Table, absolute


class AuditSettings(Table):
    allowed: Literal["none", "counted", "all"] = Field(
        default="counted", description="What is kept of allowed calls: nothing, counts for each minute, or every call."
    )
    fail_closed: bool = Field(
        default=False,
        description="Refuse each call that takes a capability while the audit cannot be written, whatever its grant"
        " says.",
    )
    file: Folder | None = Field(default=None, description="A file that it is written to as well, as JSON lines.")
    file_bytes: int = Field(
        default=64 * 1024**2, ge=64 * 1024, description="A file that would become larger is put aside, and begun anew."
    )
    files_kept: int = Field(default=10, ge=0, le=10_000, description="Files put aside that are kept, the newest ones.")
    otlp: Annotated[str, Field(pattern=r"^https?://[^/]+/.+$")] | None = Field(
        default=None, description="Where a collector of OpenTelemetry takes logs over HTTP; it is sent there as well."
    )
    otlp_headers: dict[str, str] = Field(default={}, description="Headers for the collector, such as a token.")
    otlp_timeout: timedelta = Field(
        default=timedelta(seconds=10), gt=timedelta(0), description="How long the collector may take (seconds)."
    )

    def anchored(self, folder: Path) -> Self:
        return self if self.file is None else self.model_copy(update={"file": absolute(folder, self.file)})
