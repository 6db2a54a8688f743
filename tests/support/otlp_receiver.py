"""A collector of OpenTelemetry logs over HTTP, on loopback: it keeps what it is sent, and can be made to fail."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse


class OtlpReceiver:
    """``with OtlpReceiver() as receiver``; from other threads than the one that looks."""

    def __init__(self) -> None:
        #: Each request that was taken.
        self.taken: list[ExportLogsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        #: What it answers with; 200: it takes what it is sent.
        self.status = 200
        self.rejects = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> OtlpReceiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/logs"

    @property
    def records(self) -> list[Any]:
        return [
            record
            for request in self.taken
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path != "/v1/logs" or self.headers["Content-Type"] != "application/x-protobuf":
                    self.send_error(415)
                    return
                if receiver.status == 200:
                    receiver.taken.append(ExportLogsServiceRequest.FromString(content))
                    receiver.headers.append(dict(self.headers))
                answer = ExportLogsServiceResponse()
                if receiver.rejects:
                    answer.partial_success.rejected_log_records = receiver.rejects
                    answer.partial_success.error_message = "too old"
                body = answer.SerializeToString()
                self.send_response(receiver.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 - the base's own name
                """Quiet."""

        return Handler
