"""The audit as OpenTelemetry logs, sent to a collector over HTTP (OTLP 1.x, protobuf).

The messages are OpenTelemetry's own; the SDK's exporter was not chosen because it logs and swallows failures, and what
a batch came to has to be known here: entries wait until they are taken.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx

from moorage.errors import MoorageError
from moorage.models.audit import AuditEntry, AuditKind

try:
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
except ImportError:
    LIBRARY = False
else:
    LIBRARY = True

log = logging.getLogger(__name__)

#: The instrumentation scope, and how names of events and attributes begin.
SCOPE = "moorage.audit"

_REFUSED = frozenset({AuditKind.DENIED, AuditKind.LINK_REFUSED})


class CollectorFailed(MoorageError):
    """The collector did not take the entries; they are sent again."""

    code = "collector_failed"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The OpenTelemetry collector does not take the audit: {problem}")


class AuditCollector:
    """Sends to one address. Without OpenTelemetry's library every batch fails, with what to install."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: timedelta, *, version: str = "") -> None:
        self._url = url
        self._headers = {**headers, "Content-Type": "application/x-protobuf"}
        self._version = version
        # The collector is the operator's own: proxies are for what plugins reach.
        self._client = httpx.AsyncClient(timeout=timeout.total_seconds(), trust_env=False)

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Raises CollectorFailed."""
        if not LIBRARY:
            raise CollectorFailed(
                "its messages take a library that is not installed: pip install moorage[opentelemetry]"
            )
        content = _request(entries, self._version).SerializeToString()
        try:
            answer = await self._client.post(self._url, content=content, headers=self._headers)
        except httpx.HTTPError as error:
            raise CollectorFailed(f"{type(error).__name__}: {error}".rstrip(": ") + ".") from error
        if not answer.is_success:
            raise CollectorFailed(f"it answered {answer.status_code}.")
        _tell_rejected(answer.content)

    async def close(self) -> None:
        await self._client.aclose()


def _tell_rejected(content: bytes) -> None:
    """What the collector has looked at and will not have must not be sent again, says the specification."""
    try:
        partial = logs_service_pb2.ExportLogsServiceResponse.FromString(content).partial_success
    except Exception:  # noqa: BLE001 - an answer that cannot be read is one that says nothing
        return
    if partial.rejected_log_records:
        log.error("the collector rejected %d audit entries: %s", partial.rejected_log_records, partial.error_message)


def _request(entries: Sequence[AuditEntry], version: str) -> Any:
    resource = Resource(attributes=[_pair("service.name", "moorage"), _pair("service.version", version)])
    scope = ScopeLogs(scope=InstrumentationScope(name=SCOPE), log_records=[_record(entry) for entry in entries])
    return logs_service_pb2.ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=resource, scope_logs=[scope])]
    )


def _record(entry: AuditEntry) -> Any:
    is_refused = entry.kind in _REFUSED
    what = " ".join(part for part in (entry.kind.replace("_", " "), entry.action, entry.capability) if part)
    texts = {
        "kind": entry.kind,
        "installation": entry.installation,
        "actor": entry.actor,
        "action": entry.action,
        "capability": entry.capability,
        "message": entry.message,
        "execution": entry.execution,
    }
    attributes = [_pair("event.name", f"{SCOPE}.{entry.kind}")]
    attributes += [_pair(f"{SCOPE}.{name}", value) for name, value in texts.items() if value]
    attributes.append(KeyValue(key=f"{SCOPE}.count", value=AnyValue(int_value=entry.count)))
    return LogRecord(
        time_unix_nano=_nanoseconds(entry.time),
        observed_time_unix_nano=_nanoseconds(entry.time),
        severity_number=SeverityNumber.SEVERITY_NUMBER_WARN if is_refused else SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="WARN" if is_refused else "INFO",
        body=AnyValue(string_value=what),
        attributes=attributes,
    )


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000) * 1_000


def _pair(key: str, value: str) -> Any:
    return KeyValue(key=key, value=AnyValue(string_value=value))
