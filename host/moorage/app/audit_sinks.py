"""Where the audit goes beside the store, as the settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from moorage import __version__
from moorage.config.audit import AuditSettings
from moorage.telemetry.audit_file import AuditFile
from moorage.telemetry.audit_otlp import AuditCollector
from moorage.telemetry.outlet import AuditSink


class AuditSinks:
    """Opened by the first entry that they are given; closed after the audit, which writes to them until it is."""

    def __init__(self, settings: AuditSettings) -> None:
        self._file: AuditFile | None = None
        self._collector: AuditCollector | None = None
        if settings.file is not None:
            self._file = AuditFile(settings.file, settings.file_bytes, settings.files_kept)
        if settings.otlp is not None:
            headers, timeout = settings.otlp_headers, settings.otlp_timeout
            self._collector = AuditCollector(settings.otlp, headers, timeout, version=__version__)

    @property
    def by_name(self) -> Mapping[str, AuditSink]:
        """By the names that people see."""
        named = {"file": self._file, "opentelemetry": self._collector}
        return {name: sink for name, sink in named.items() if sink is not None}

    async def close(self) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._file.close)
        if self._collector is not None:
            await self._collector.close()
