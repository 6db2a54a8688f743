"""How connections leave the host: whom it trusts, and through which proxy. The environment has no say in it."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpcore

from moorage.broker.services.http.base import Bounds
from moorage.errors import ExitCode, MoorageError

#: A connection is kept so long for the next request.
KEEPALIVE_SECONDS = 15.0


class HttpUnusable(MoorageError):
    """The settings of the HTTP service cannot be used; the host does not start with them."""

    code = "http_unusable"
    exit_code = ExitCode.CONFIG


class Outward:
    """Made once, from the settings. Raises HttpUnusable."""

    def __init__(self, *, ca_file: Path | None, proxy: str | None) -> None:
        self._tls = _trusting(ca_file)
        self._proxy = None if proxy is None else _proxy(proxy)

    @property
    def proxied(self) -> bool:
        return self._proxy is not None

    def pool(self, pinned: httpcore.AsyncNetworkBackend, bounds: Bounds) -> httpcore.AsyncConnectionPool:
        """Without a proxy all its connections are opened by ``pinned``."""
        if self._proxy is None:
            return httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=bounds.connections,
                keepalive_expiry=KEEPALIVE_SECONDS,
                network_backend=pinned,
            )
        return httpcore.AsyncHTTPProxy(
            proxy_url=self._proxy.url,
            proxy_auth=self._proxy.auth,
            ssl_context=self._tls,
            proxy_ssl_context=self._tls if self._proxy.url.scheme == b"https" else None,
            max_connections=bounds.connections,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=httpcore.AnyIOBackend(),
        )


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    # Not ssl.create_default_context: a variable of the environment makes that one write the keys of all connections to
    # a file. This protocol verifies certificates and names by itself.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise HttpUnusable(
            f"http.ca_file = {str(ca_file)!r} cannot be used: {error}. It has to be a PEM file of certificates."
        ) from error
    return context


class _Proxy:
    def __init__(self, url: httpcore.URL, auth: tuple[str, str] | None) -> None:
        self.url = url
        self.auth = auth


def _proxy(text: str) -> _Proxy:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https"):
        raise HttpUnusable(
            "http.proxy cannot be used: it has to be http://host:port, or https://user:password@host:port."
        )
    url = httpcore.URL(
        scheme=parts.scheme, host=host, port=port or {"http": 80, "https": 443}[parts.scheme], target="/"
    )
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return _Proxy(url, auth)
