"""Transports for the plugin's own httpx: ``httpx.Client(transport=...)`` and everything built on it."""

from __future__ import annotations

import contextlib
from typing import Any, AsyncIterator, Dict, Iterator, Mapping, Optional, Type

import httpx

from moorage_proto.http_pb2 import HttpFailure, HttpRequestHead
from moorage_sdk import channel as channels
from moorage_sdk.channel import Channel
from moorage_sdk.errors import CapabilityMissing, DeadlineExceeded, MoorageError
from moorage_sdk.services.base import Ask, Provided
from moorage_sdk.services.http.exchange import AsyncExchange, Exchange, Failed, raw_headers, request_head

_ERRORS: Mapping[int, Type[httpx.TransportError]] = {
    HttpFailure.CONNECT: httpx.ConnectError,
    HttpFailure.CONNECT_TIMEOUT: httpx.ConnectTimeout,
    HttpFailure.READ: httpx.ReadError,
    HttpFailure.READ_TIMEOUT: httpx.ReadTimeout,
    HttpFailure.WRITE: httpx.WriteError,
    HttpFailure.WRITE_TIMEOUT: httpx.WriteTimeout,
    HttpFailure.POOL_TIMEOUT: httpx.PoolTimeout,
    HttpFailure.PROTOCOL: httpx.RemoteProtocolError,
    HttpFailure.TOO_LARGE: httpx.ReadError,
}


class RefusedError(MoorageError, httpx.TransportError):
    """The host made no request, or ended it. Its subclasses are those of ``moorage_sdk.errors`` too, so that a missing
    capability is caught as CapabilityMissing, and by whoever catches httpx's errors.
    """

    def __init__(self, error: MoorageError, request: httpx.Request) -> None:
        Exception.__init__(self, error.message)
        vars(self).update(vars(error))
        self.request = request


class RefusedCapability(RefusedError, CapabilityMissing):
    pass


class RefusedDeadline(RefusedError, DeadlineExceeded, httpx.TimeoutException):
    pass


class Transport(httpx.BaseTransport):
    """The host makes the requests. Verification, certificates, proxies and connections are its matter."""

    def __init__(self, channel: Optional[Channel] = None) -> None:
        """Without a channel that of this process counts, when a request is made."""
        self._channel = channel

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        with _as_httpx(request):
            exchange = Exchange(self._channel or channels.current(), _head(request), request.stream)
        return _response(exchange.head, _Body(exchange, request))


class AsyncTransport(httpx.AsyncBaseTransport):
    """As Transport, for ``httpx.AsyncClient`` on any event loop."""

    def __init__(self, channel: Optional[Channel] = None) -> None:
        self._channel = channel

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        with _as_httpx(request):
            exchange = await AsyncExchange.start(self._channel or channels.current(), _head(request), request.stream)
        return _response(exchange.head, _AsyncBody(exchange, request))


def injected(ask: Ask) -> Provided:
    """A client for a scope. The environment has no say in it: there is no network for its proxies."""
    client = httpx.Client(transport=Transport(ask.channel), trust_env=False)
    return Provided(client, close=client.close)


def injected_async(ask: Ask) -> Provided:
    client = httpx.AsyncClient(transport=AsyncTransport(ask.channel), trust_env=False)
    return Provided(client, close=client.aclose)


class _Body(httpx.SyncByteStream):
    def __init__(self, exchange: Exchange, request: httpx.Request) -> None:
        self._exchange = exchange
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx(self._request):
            yield from self._exchange.body()

    def close(self) -> None:
        self._exchange.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, exchange: AsyncExchange, request: httpx.Request) -> None:
        self._exchange = exchange
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx(self._request):
            async for piece in self._exchange.body():
                yield piece

    async def aclose(self) -> None:
        self._exchange.close()


def _head(request: httpx.Request) -> HttpRequestHead:
    """From the URL's parts: a name and password in it are a header by now."""
    url = request.url
    host = url.raw_host.decode("ascii")
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    port = "" if url.port is None else f":{url.port}"
    timeouts: Dict[str, Any] = request.extensions.get("timeout", {})
    return request_head(
        request.method, f"{url.scheme}://{host}{port}{url.raw_path.decode('ascii')}", request.headers.raw, timeouts
    )


def _response(head: Any, stream: Any) -> httpx.Response:
    extensions = {"http_version": head.http_version.encode(), "reason_phrase": head.reason}
    return httpx.Response(head.status, headers=raw_headers(head), stream=stream, extensions=extensions)


@contextlib.contextmanager
def _as_httpx(request: httpx.Request) -> Iterator[None]:
    try:
        yield
    except Failed as failed:
        raise _ERRORS.get(failed.kind, httpx.TransportError)(failed.message, request=request) from None
    except MoorageError as error:
        if isinstance(error, CapabilityMissing):
            raise RefusedCapability(error, request) from None
        if isinstance(error, DeadlineExceeded):
            raise RefusedDeadline(error, request) from None
        raise RefusedError(error, request) from None
