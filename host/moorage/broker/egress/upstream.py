"""The operator's own proxy, through which the host reaches the world, as its URL says. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from moorage.errors import ExitCode, MoorageError

_PORTS = {"http": 80, "https": 443}


class UpstreamInvalid(MoorageError):
    """The host does not start with it."""

    code = "proxy_invalid"
    exit_code = ExitCode.CONFIG

    def __init__(self) -> None:
        super().__init__(
            "http.proxy cannot be used: it has to be http://host:port, or https://user:password@host:port."
        )


@dataclass(frozen=True)
class Upstream:
    #: "http": spoken to in the clear; "https": over TLS.
    scheme: str
    host: str
    port: int
    #: User and password.
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UpstreamInvalid; the sentence does not hold the URL, which may hold a password."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise UpstreamInvalid from None
        if host is None or parts.scheme not in _PORTS:
            raise UpstreamInvalid
        auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], auth)

    @property
    def authorization(self) -> str:
        """The value of Proxy-Authorization; empty: none is sent."""
        if self.auth is None:
            return ""
        return "Basic " + base64.b64encode(":".join(self.auth).encode()).decode()
