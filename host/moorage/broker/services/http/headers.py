"""The headers that leave, and those that come back. Pure, but for the secrets that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from moorage.models.installation import InstallationId
from moorage_proto.http_access import Outgoing, check_value, invalid
from moorage_proto.http_pb2 import HttpHeader, HttpHeaderPart

#: Of the connection to the server, so not the plugin's matter: the body arrives without chunks.
_HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
    b"trailer", b"transfer-encoding", b"upgrade",
})  # fmt: skip


def outgoing_headers(
    outgoing: Outgoing, installation: InstallationId, secrets: Mapping[str, str]
) -> list[tuple[bytes, bytes]]:
    """Host, length and the installation's name are the host's own. Raises CallError, which tells no secret."""
    headers = [(b"Host", outgoing.url.authority.encode())]
    label = f"moorage/{installation}".encode()
    named = False
    for name, parts in outgoing.headers:
        value = b"".join(_secret(secrets[secret], secret) if secret else text for text, secret in parts)
        if any(secret for _, secret in parts):
            value = check_value(name, value)
        if name.lower() == "user-agent":
            value, named = value + b" " + label if value else label, True
        headers.append((name.encode(), value))
    if not named:
        headers.append((b"User-Agent", label))
    if outgoing.chunked:
        headers.append((b"Transfer-Encoding", b"chunked"))
    elif outgoing.content_length is not None:
        headers.append((b"Content-Length", str(outgoing.content_length).encode()))
    return headers


def incoming_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[HttpHeader]:
    return [
        HttpHeader(name=name.decode("latin-1"), parts=[HttpHeaderPart(text=value)])
        for name, value in headers
        if name.lower() not in _HOP_BY_HOP
    ]


def _secret(value: str, name: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise invalid(f"The secret {name} has characters that cannot stand in a header.") from None
