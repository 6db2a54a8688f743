"""Requests of other systems that start executions: read within bounds, and answered once they are written down."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import h11
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from moorage.config.webhooks import WebhookSettings
from moorage.errors import ExitCode, MoorageError
from moorage.orchestrator.triggers import webhook
from moorage.orchestrator.triggers.webhook import WebhookRefused
from moorage.web.operations import WebhookOperations
from moorage.web.problems import MEDIA_TYPE, problem_of, unexpected
from moorage.web.server import GRACE_SECONDS, STOP_SECONDS, HostServer

log = logging.getLogger(__name__)

PATH = "/v1/webhooks/{installation}/{name}"

#: Between two requests of one connection.
KEEP_ALIVE_SECONDS = 5

#: Fields of a query, and headers; more are refused.
MAX_FIELDS = 100

#: Of one body, so many pieces may be smaller, on the average, than so many bytes.
MAX_SMALL_PIECES, SMALL_PIECE = 256, 64


class ListenerUnusable(MoorageError):
    code = "webhook_listener_unusable"
    exit_code = ExitCode.CONFIG


async def answer(
    request: Request, operations: WebhookOperations, settings: WebhookSettings, *, is_known: bool
) -> Response:
    """The answer to a request whose path has the parameters ``installation`` and ``name``."""
    try:
        read = await _read(request, settings, is_known=is_known)
        execution = await operations.receive(request.path_params["installation"], request.path_params["name"], read)
    except WebhookRefused as refused:
        return _refusal(refused)
    return JSONResponse({"execution": execution.id, "state": execution.state.value}, 202)


def create_listener(operations: WebhookOperations, settings: WebhookSettings) -> Starlette:
    """An ASGI application that takes webhooks, and has nothing else."""

    async def receive(request: Request) -> Response:
        return await answer(request, operations, settings, is_known=False)

    async def nothing(_request: Request, _error: Exception) -> Response:
        return _refusal(WebhookRefused(404, "no_such_route", "There is nothing here."))

    async def failed(request: Request, error: Exception) -> Response:
        log.error("%s met an unexpected error", request.url.path, exc_info=error)
        return Response(unexpected().model_dump_json(), 500, media_type=MEDIA_TYPE)

    return Starlette(
        routes=[Route(PATH, receive, methods=["POST"])],
        exception_handlers={404: nothing, 405: nothing, Exception: failed},
    )


@contextlib.asynccontextmanager
async def listening(operations: WebhookOperations, settings: WebhookSettings) -> AsyncIterator[int]:
    """Takes webhooks on the address of the settings while the block runs; its port. Raises ListenerUnusable."""
    listener = _bound(settings)
    server = HostServer(
        uvicorn.Config(
            create_listener(operations, settings),
            http=_protocol(settings.timeout.total_seconds()),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            limit_concurrency=settings.connections,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    with contextlib.closing(listener):
        task = asyncio.create_task(server.serve([listener]), name="webhook server")
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.stop()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await task
            except TimeoutError:
                log.warning("the webhook server did not stop within %s s and was cancelled", STOP_SECONDS)


def _bound(settings: WebhookSettings) -> socket.socket:
    """Who connects from now on waits for the server. Raises ListenerUnusable."""
    assert settings.address is not None, "there is an address to listen on"
    family = socket.AF_INET6 if ":" in settings.address[0] else socket.AF_INET
    try:
        listener = socket.create_server(settings.address, family=family)
    except (OSError, OverflowError) as error:
        problem = getattr(error, "strerror", None) or error
        raise ListenerUnusable(
            f"Webhooks cannot be taken on {settings.listen}: {problem}. Set [webhooks] listen to another address."
        ) from error
    listener.setblocking(False)
    return listener


def _protocol(seconds: float) -> type[H11Protocol]:
    """HTTP that gives up who says nothing, does not end what it says, or does not read. Uvicorn waits for ever."""

    class Impatient(H11Protocol):
        _alarm: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as H11Protocol has it
            super().connection_made(transport)
            # Uvicorn has a fresh one there, and nothing of it was used.
            self.conn = _Pieces(h11.SERVER)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            # Before it: the next request may be here already, and answered under it.
            self._watch()
            super().on_response_complete()

        def pause_writing(self) -> None:
            self._watch()
            super().pause_writing()

        def _watch(self) -> None:
            self._unwatch()
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._look)

        def _unwatch(self) -> None:
            if self._alarm is not None:
                self._alarm.cancel()

        def _look(self) -> None:
            """No request has come since the last was answered, or no answer goes out."""
            if self.flow.write_paused or self.cycle is None or self.cycle.response_complete:
                self.transport.abort()

    return Impatient


class _Pieces(h11.Connection):
    """One side of a connection. A body in pieces of a few bytes is refused: to read it takes a thousand times its work,
    and nobody else has his turn meanwhile.
    """

    _count = 0
    _size = 0

    def next_event(self) -> Any:
        """Raises RemoteProtocolError."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._count = self._size = 0
        elif isinstance(event, h11.Data):
            self._count, self._size = self._count + 1, self._size + len(event.data)
            if self._count > MAX_SMALL_PIECES and self._size < self._count * SMALL_PIECE:
                raise h11.RemoteProtocolError("it comes in pieces that are too small")
        return event


async def _read(request: Request, settings: WebhookSettings, *, is_known: bool) -> webhook.Request:
    """Raises WebhookRefused."""
    try:
        query = parse_qs(request.url.query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise WebhookRefused(400, "query_too_long", f"Its query has more than {MAX_FIELDS} fields.") from error
    if len(request.headers) > MAX_FIELDS:
        raise WebhookRefused(431, "too_many_headers", f"It has more than {MAX_FIELDS} headers.")
    if "content-length" in request.headers and "transfer-encoding" in request.headers:
        # RFC 9112, 6.1: a proxy in front may have taken the other for its end.
        raise WebhookRefused(400, "two_lengths", "It has a Content-Length and a Transfer-Encoding. Send one of them.")
    return webhook.Request(
        method=request.method,
        path=request.url.path,
        query=query,
        headers=dict(request.headers),
        body=await _body(request, settings),
        is_known=is_known,
    )


async def _body(request: Request, settings: WebhookSettings) -> bytes:
    too_large = WebhookRefused(413, "too_large", f"At most {settings.max_body:,} bytes are taken.")
    try:
        declared = int(request.headers.get("content-length", "0"))
    except ValueError:
        declared = 0
    if declared > settings.max_body:
        raise too_large
    found = bytearray()
    try:
        async with asyncio.timeout(settings.timeout.total_seconds()):
            async for chunk in request.stream():
                found += chunk
                if len(found) > settings.max_body:
                    raise too_large
    except TimeoutError as error:
        raise WebhookRefused(408, "too_slow", "It took too long to arrive. Send it again.") from error
    except ClientDisconnect as error:
        raise WebhookRefused(400, "cut_off", "It was cut off.") from error
    return bytes(found)


def _refusal(refused: WebhookRefused) -> Response:
    headers = {} if refused.retry_seconds is None else {"Retry-After": str(refused.retry_seconds)}
    if refused.http_status in (400, 408, 413, 431):
        # The rest of the request is not read.
        headers["Connection"] = "close"
    return Response(problem_of(refused).model_dump_json(), refused.http_status, headers, MEDIA_TYPE)
