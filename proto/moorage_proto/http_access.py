"""What an HTTP request needs, and which of its headers may leave. Pure; the host and the testing kit decide alike."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Sequence, Tuple

from moorage_proto import capability, http_pb2
from moorage_proto.capability import Capability
from moorage_proto.errors import CallError, Reason, Status
from moorage_proto.url import Url, UrlInvalid, parse, pattern

#: The right to have the host put a secret into a header, unseen by the plugin.
SECRETS_USE = "secrets.use"

#: Of the registry of HTTP methods, those that name one resource and no other. CONNECT opens a tunnel, TRACE tells what
#: the host has put into headers, and COPY and MOVE name what they write to in a header.
METHODS = (
    "DELETE", "GET", "HEAD", "LOCK", "MKCOL", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT",
    "QUERY", "REPORT", "SEARCH", "UNLOCK",
)  # fmt: skip

VERBS = frozenset(f"http.{method.lower()}" for method in METHODS)

#: Of one connection only (RFC 9110, 7.6.1), so the host's own matter.
_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "upgrade", "http2-settings", "expect",
})  # fmt: skip

#: Servers take these for another method, host or path than the one that was granted.
_OVERRIDING = frozenset({
    "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
    "x-original-host", "x-forwarded-host", "x-host", "x-forwarded-server", "forwarded", "destination",
    "x-original-uri", "x-forwarded-uri", "x-forwarded-path", "x-forwarded-prefix", "x-http-path-override",
    "x-original-method", "x-forwarded-method", "x-envoy-original-path",
})  # fmt: skip

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SECRET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

MAX_HEADERS = 256
MAX_HEADER_BYTES = 64 * 1024

#: Of a value; each is text, or the name of a secret.
Parts = Tuple[Tuple[bytes, str], ...]
#: (name, parts)
Header = Tuple[str, Parts]


@dataclass(frozen=True)
class Outgoing:
    """A request as it may leave, but for the secrets that its headers name."""

    method: str
    url: Url
    headers: Tuple[Header, ...]
    #: Bytes of the body; None: they are not known before, or there is none.
    content_length: Optional[int]
    chunked: bool

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length is not None

    @property
    def secrets(self) -> Tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, parts in self.headers for _, name in parts if name))

    @property
    def verb(self) -> str:
        return f"http.{self.method.lower()}"

    @property
    def needs(self) -> Tuple[Capability, ...]:
        """To the URL, in each of its readings. The rights to secrets come on top."""
        return tuple(capability.need(self.verb, resource) for resource in self.url.resources)


def classify(item: Any) -> Tuple[Capability, ...]:
    """The rights that an item of a request needs; of its body, none beside those of its head. Raises CallError."""
    if item.WhichOneof("item") == "body":
        return ()
    outgoing = read_head(item.head)
    try:
        needs = outgoing.needs
    except UrlInvalid as error:
        raise invalid(str(error)) from None
    return (*needs, *(capability.need(SECRETS_USE, name) for name in outgoing.secrets))


def read_head(head: http_pb2.HttpRequestHead) -> Outgoing:
    """Checks the head of a request. Raises CallError."""
    method = head.method.upper()
    if method not in METHODS:
        raise invalid(f"The host makes no such request; the methods are {', '.join(METHODS)}.")
    try:
        url = parse(head.url)
    except UrlInvalid as error:
        raise invalid(str(error)) from None
    if len(head.headers) > MAX_HEADERS or head.ByteSize() > MAX_HEADER_BYTES + len(head.url):
        raise invalid(f"A request has at most {MAX_HEADERS} headers, and {MAX_HEADER_BYTES // 1024} KiB of them.")
    headers = _Headers(url)
    for header in head.headers:
        headers.read(*_header(header))
    return Outgoing(method, url, tuple(headers.kept), headers.content_length(), headers.chunked)


class _Headers:
    """Reads them one by one: those that leave as they are, and those that say how the body comes."""

    def __init__(self, url: Url) -> None:
        self._url = url
        self._lengths: List[bytes] = []
        self.kept: List[Header] = []
        self.chunked = False

    def read(self, name: str, parts: Parts) -> None:
        # Servers that make variables of headers take `_` for `-`.
        lowered = name.lower().replace("_", "-")
        if lowered in _OVERRIDING:
            raise invalid(
                f"A request has no header {name}: servers take it for another method, host or path than was granted."
            )
        if lowered == "host":
            self._check_host(_text(name, parts))
        elif lowered == "content-length":
            self._lengths.append(_text(name, parts))
        elif lowered == "transfer-encoding":
            self._read_encoding(_text(name, parts))
        elif lowered not in _HOP_BY_HOP:
            self.kept.append((name, parts))

    def content_length(self) -> Optional[int]:
        if not self._lengths:
            return None
        if self.chunked or len(set(self._lengths)) > 1 or not _LENGTH.fullmatch(self._lengths[0]):
            raise invalid("A request has one Content-Length, which is a number, and then no Transfer-Encoding.")
        return int(self._lengths[0])

    def _read_encoding(self, value: bytes) -> None:
        if self.chunked or value.lower() != b"chunked":
            raise invalid("A request's Transfer-Encoding is chunked, once, or there is none.")
        self.chunked = True

    def _check_host(self, value: bytes) -> None:
        """The host writes the header itself; a plugin's own may only say the same."""
        try:
            named = parse(f"{self._url.scheme}://{value.decode('ascii')}/")
        except (UrlInvalid, UnicodeDecodeError):
            named = None
        if named is None or named.origin != self._url.origin:
            raise invalid("A request's Host is that of its URL; leave the header away.")


def is_named(outgoing: Outgoing, covering: Callable[[Capability], Sequence[Capability]]) -> bool:
    """Whether the rights that allow a request hold its scheme and host as they are, and not by wildcards.

    ``covering`` tells the rights that allow a need.
    """
    return all(any(_names(right, outgoing.url) for right in covering(need)) for need in outgoing.needs)


def secret_unnamed(installation: str, outgoing: Outgoing) -> CallError:
    """For a request with a secret that is not named so: whoever may choose the host could send it to their own."""
    return CallError(
        Status.PERMISSION_DENIED,
        Reason.CAPABILITY_MISSING,
        f"A secret is sent only where a grant names scheme and host in full, and no grant of {installation} names "
        f"{outgoing.url.origin} without wildcards.",
    )


def check_value(name: str, value: bytes) -> bytes:
    """A header's value without spaces around it. Raises CallError; the sentence does not repeat the value."""
    value = value.strip(b" \t")
    if _BAD_IN_VALUE.search(value):
        raise invalid(f"The value of the header {name} holds a control character, such as the end of a line.")
    return value


def invalid(sentence: str) -> CallError:
    return CallError(Status.INVALID_ARGUMENT, Reason.REQUEST_INVALID, sentence)


def _header(header: http_pb2.HttpHeader) -> Header:
    if not _NAME.fullmatch(header.name):
        raise invalid("The name of a header is letters, digits and some signs, and at least one of them.")
    parts: List[Tuple[bytes, str]] = []
    for part in header.parts:
        if part.WhichOneof("part") == "secret":
            if not _SECRET_NAME.fullmatch(part.secret):
                raise invalid(f"The header {header.name} asks for a secret by what is no name of one.")
            parts.append((b"", part.secret))
        else:
            parts.append((part.text, ""))
    if len(parts) == 1 and not parts[0][1]:
        parts = [(check_value(header.name, parts[0][0]), "")]
    for text, _ in parts:
        check_value(header.name, text)
    return header.name, tuple(parts)


def _text(name: str, parts: Parts) -> bytes:
    if any(secret for _, secret in parts):
        raise invalid(f"The header {name} cannot hold a secret.")
    return b"".join(text for text, _ in parts)


def _names(right: Capability, url: Url) -> bool:
    found = pattern(right.resource)
    return found is not None and found.names(url)
