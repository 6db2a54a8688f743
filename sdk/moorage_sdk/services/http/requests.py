"""An adapter for the plugin's own requests: ``session.mount("https://", adapter)``."""

from __future__ import annotations

import contextlib
import io
from http.client import HTTPMessage
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Tuple, Type, Union

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import urldefragauth
from urllib3._collections import HTTPHeaderDict

from moorage_proto.http_pb2 import HttpFailure, HttpReplyHead
from moorage_sdk import channel as channels
from moorage_sdk.channel import Channel
from moorage_sdk.errors import CapabilityMissing, DeadlineExceeded, MoorageError
from moorage_sdk.services.base import Ask, Provided
from moorage_sdk.services.http.exchange import PIECE_BYTES, Exchange, Failed, RawHeader, raw_headers, request_head

_ERRORS: Mapping[int, Type[requests.RequestException]] = {
    HttpFailure.CONNECT_TIMEOUT: requests.ConnectTimeout,
    HttpFailure.READ_TIMEOUT: requests.ReadTimeout,
    HttpFailure.WRITE_TIMEOUT: requests.ReadTimeout,
}


class RefusedError(MoorageError, requests.RequestException):
    """The host made no request, or ended it. Its subclasses are those of ``moorage_sdk.errors`` too, so that a missing
    capability is caught as CapabilityMissing, and by whoever catches the errors of requests.
    """

    def __init__(self, error: MoorageError, request: Any) -> None:
        OSError.__init__(self, error.message)
        vars(self).update(vars(error))
        self.request = request
        self.response = None


class RefusedCapability(RefusedError, CapabilityMissing):
    pass


class RefusedDeadline(RefusedError, DeadlineExceeded, requests.Timeout):
    pass


class Adapter(HTTPAdapter):
    """The host makes the requests. ``verify``, ``cert`` and ``proxies`` have no effect: they are its matter."""

    def __init__(self, channel: Optional[Channel] = None) -> None:
        """Without a channel that of this process counts, when a request is made."""
        super().__init__()
        self._channel = channel

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - requests reads the body itself where it is not to stream
        timeout: Any = None,
        verify: Any = True,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
        proxies: Any = None,  # noqa: ARG002
    ) -> requests.Response:
        # A name and password in the URL are a header by now.
        url = urldefragauth(request.url or "")
        head = request_head(request.method or "GET", url, _headers(request), _timeouts(timeout))
        with _as_requests(request):
            exchange = Exchange(self._channel or channels.current(), head, _body(request.body))
        return self.build_response(request, _raw(exchange, request.method))


def injected(ask: Ask) -> Provided:
    """A session for a scope. The environment has no say in it: there is no network for its proxies."""
    session = requests.Session()
    session.trust_env = False
    for prefix in ("https://", "http://"):
        session.mount(prefix, Adapter(ask.channel))
    return Provided(session, close=session.close)


class _File(io.RawIOBase):
    """The body of a response, as urllib3 reads it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._pieces = exchange.body()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = self._next()
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        self._exchange.close()
        super().close()

    def _next(self) -> Optional[bytes]:
        try:
            return next(self._pieces, None)
        except Failed as failed:
            if failed.kind == HttpFailure.READ_TIMEOUT:
                # urllib3 wants the pool here, and asks nothing of it.
                raise urllib3.exceptions.ReadTimeoutError(None, "", failed.message) from None  # type: ignore[arg-type]
            raise urllib3.exceptions.ProtocolError(failed.message) from None


class _Original:
    """What requests reads cookies from."""

    def __init__(self, head: HttpReplyHead) -> None:
        self.msg = HTTPMessage()
        for name, value in raw_headers(head):
            self.msg.add_header(name.decode("latin-1"), value.decode("latin-1"))

    def isclosed(self) -> bool:
        return False

    def close(self) -> None:
        """The body is closed by itself."""


def _raw(exchange: Exchange, method: Optional[str]) -> urllib3.HTTPResponse:
    head = exchange.head
    headers = HTTPHeaderDict()
    for name, value in raw_headers(head):
        headers.add(name.decode("latin-1"), value.decode("latin-1"))
    return urllib3.HTTPResponse(
        body=_File(exchange),
        headers=headers,
        status=head.status,
        reason=head.reason.decode("latin-1"),
        version=10 if head.http_version == "HTTP/1.0" else 11,
        preload_content=False,
        decode_content=False,
        original_response=_Original(head),  # type: ignore[arg-type]  # all that is asked of it
        request_method=method,
    )


def _headers(request: requests.PreparedRequest) -> Iterator[RawHeader]:
    for name, value in request.headers.items():
        yield _encoded(name), _encoded(value)


def _encoded(text: Union[str, bytes]) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


def _body(body: Any) -> Iterable[Union[bytes, str]]:
    if body is None:
        return ()
    if isinstance(body, (bytes, bytearray, str)):
        return (bytes(body) if isinstance(body, bytearray) else body,)
    if hasattr(body, "read"):
        return iter(lambda: body.read(PIECE_BYTES), type(body.read(0))())
    found: Iterable[Union[bytes, str]] = body
    return found


def _timeouts(timeout: Any) -> Dict[str, Optional[float]]:
    """A number, (connect, read), urllib3's Timeout, or None."""
    if isinstance(timeout, urllib3.Timeout):
        pair: Tuple[Any, Any] = (timeout.connect_timeout, timeout.read_timeout)
    elif isinstance(timeout, tuple):
        pair = timeout
    else:
        pair = (timeout, timeout)
    connect, read = (value if isinstance(value, (int, float)) else None for value in pair)
    return {"connect": connect, "read": read}


@contextlib.contextmanager
def _as_requests(request: requests.PreparedRequest) -> Iterator[None]:
    try:
        yield
    except Failed as failed:
        raise _ERRORS.get(failed.kind, requests.ConnectionError)(failed.message, request=request) from None
    except MoorageError as error:
        if isinstance(error, CapabilityMissing):
            raise RefusedCapability(error, request) from None
        if isinstance(error, DeadlineExceeded):
            raise RefusedDeadline(error, request) from None
        raise RefusedError(error, request) from None
