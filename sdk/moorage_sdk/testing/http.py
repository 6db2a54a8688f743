"""HTTP for tests: ``moorage.http.answer("GET", "https://api.example.com/**", json={"ok": True})``."""

from __future__ import annotations

import json as jsons
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from moorage_proto import http_pb2, link_pb2
from moorage_proto.http_access import Outgoing, invalid, is_named, read_head, secret_unnamed
from moorage_proto.http_pb2 import HttpFailure, HttpHeader, HttpHeaderPart, HttpReplyHead, HttpReplyItem
from moorage_proto.url import parse_pattern
from moorage_sdk.testing.base import FakeCaller

_PIECE_BYTES = 64 * 1024

#: What ``fail`` takes.
FAILURES = {
    "connect": HttpFailure.CONNECT,
    "connect_timeout": HttpFailure.CONNECT_TIMEOUT,
    "read": HttpFailure.READ,
    "read_timeout": HttpFailure.READ_TIMEOUT,
    "write": HttpFailure.WRITE,
    "write_timeout": HttpFailure.WRITE_TIMEOUT,
    "pool_timeout": HttpFailure.POOL_TIMEOUT,
    "protocol": HttpFailure.PROTOCOL,
    "too_large": HttpFailure.TOO_LARGE,
}


@dataclass(frozen=True)
class Request:
    """What the host would have sent."""

    method: str
    #: With its query.
    url: str
    #: In lower case, the last of each name. A secret is shown as ``<secret API_KEY>``.
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return jsons.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What the server sends."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(
    status: int = 200,
    *,
    json: Any = None,
    text: Optional[str] = None,
    body: bytes = b"",
    headers: Optional[Mapping[str, str]] = None,
) -> Answer:
    """An Answer with the content type of what it is made of."""
    given = dict(headers or {})
    if json is not None:
        return Answer(status, jsons.dumps(json).encode(), {"content-type": "application/json", **given})
    if text is not None:
        return Answer(status, text.encode(), {"content-type": "text/plain; charset=utf-8", **given})
    return Answer(status, body, given)


#: From a request to its answer.
Respond = Callable[[Request], Answer]


class FakeHttp:
    """No server, and no network: what has no answer is a failed connection, whose sentence says so."""

    name = "http"
    contract = http_pb2.DESCRIPTOR.services_by_name["HttpService"]

    def __init__(self) -> None:
        #: All that were let through, in their order.
        self.requests: List[Request] = []
        self._routes: List[Tuple[str, str, Union[Respond, HttpFailure]]] = []

    def answer(
        self,
        method: str,
        url: str,
        status: int = 200,
        *,
        json: Any = None,
        text: Optional[str] = None,
        body: bytes = b"",
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:
        """From now on; the newest that fits counts. ``url`` is as in a capability: without a query, ``*`` within a
        segment, ``**`` across.
        """
        given = answer(status, json=json, text=text, body=body, headers=headers)
        self.respond(method, url, lambda _: given)

    def respond(self, method: str, url: str, function: Respond) -> None:
        """As ``answer``, by a function of the request."""
        parse_pattern(url)
        self._routes.insert(0, (method.upper(), url, function))

    def fail(self, method: str, url: str, kind: str = "connect") -> None:
        """From now on such requests fail: ``connect``, ``read_timeout`` and the other names of ``FAILURES``."""
        parse_pattern(url)
        sentence = f"The test said so with moorage.http.fail({method!r}, {url!r}, {kind!r})."
        self._routes.insert(0, (method.upper(), url, HttpFailure(kind=FAILURES[kind], message=sentence)))

    def request(self, caller: FakeCaller, requests: Iterator[http_pb2.HttpRequestItem]) -> Iterator[HttpReplyItem]:
        first = next(requests, None)
        if first is None or first.WhichOneof("item") != "head":
            raise invalid("A request begins with its head.")
        outgoing = read_head(first.head)
        if outgoing.secrets and not is_named(outgoing, caller.covering):
            raise secret_unnamed(caller.installation, outgoing)
        made = Request(
            outgoing.method,
            outgoing.url.origin + outgoing.url.target,
            _shown(outgoing, caller.installation),
            _body(outgoing, requests),
        )
        self.requests.append(made)
        yield from self._replies(made, outgoing)

    def describe(self, welcome: link_pb2.Welcome) -> None:
        """The handshake says nothing of it."""

    def close(self) -> None:
        """Nothing is held."""

    def _replies(self, made: Request, outgoing: Outgoing) -> Iterator[HttpReplyItem]:
        found = self._find(made, outgoing)
        if isinstance(found, HttpFailure):
            yield HttpReplyItem(failure=found)
            return
        given = found(made)
        headers = {**given.headers, "content-length": str(len(given.body))}
        yield HttpReplyItem(
            head=HttpReplyHead(
                status=given.status,
                headers=[
                    HttpHeader(name=name, parts=[HttpHeaderPart(text=value.encode("latin-1"))])
                    for name, value in headers.items()
                ],
                http_version="HTTP/1.1",
            )
        )
        body = b"" if made.method == "HEAD" else given.body
        for start in range(0, len(body), _PIECE_BYTES):
            yield HttpReplyItem(body=body[start : start + _PIECE_BYTES])

    def _find(self, made: Request, outgoing: Outgoing) -> Union[Respond, HttpFailure]:
        resource = parse_pattern(outgoing.url.resources[0])
        for method, url, found in self._routes:
            if method == made.method and parse_pattern(url).includes(resource):
                return found
        sentence = (
            f"The test has no answer for {made.method} {made.url}; add it with "
            f"moorage.http.answer({made.method!r}, {str(resource)!r}, ...)."
        )
        return HttpFailure(kind=HttpFailure.CONNECT, message=sentence)


def _shown(outgoing: Outgoing, installation: str) -> Dict[str, str]:
    headers = {"host": outgoing.url.authority}
    for name, parts in outgoing.headers:
        headers[name.lower()] = "".join(
            f"<secret {secret}>" if secret else text.decode("latin-1") for text, secret in parts
        )
    agent = headers.get("user-agent", "")
    headers["user-agent"] = f"{agent} moorage/{installation}".lstrip()
    return headers


def _body(outgoing: Outgoing, requests: Iterator[http_pb2.HttpRequestItem]) -> bytes:
    if not outgoing.has_body:
        return b""
    found = bytearray()
    for item in requests:
        if item.WhichOneof("item") != "body":
            raise invalid("After its head a request has pieces of its body alone.")
        found += item.body
    if outgoing.content_length not in (None, len(found)):
        raise invalid("The body is not as long as its Content-Length says.")
    return bytes(found)
