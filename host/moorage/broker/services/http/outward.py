"""How connections leave the host: whom it trusts, and through which proxy. The environment has no say in it."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpcore

from moorage.broker.egress.upstream import Upstream
from moorage.broker.services.http.base import Bounds
from moorage.errors import ExitCode, MoorageError

#: A connection is kept so long for the next request.
KEEPALIVE_SECONDS = 15.0


class HttpUnusable(MoorageError):
    """The settings of the HTTP service cannot be used; the host does not start with them."""

    code = "http_unusable"
    exit_code = ExitCode.CONFIG


class Outward:
    """Made once, from the settings. Raises HttpUnusable, or UpstreamInvalid for a proxy that is none."""

    def __init__(self, *, ca_file: Path | None, proxy: str | None) -> None:
        self._tls = _trusting(ca_file)
        self._upstream = None if proxy is None else Upstream.parse(proxy)

    @property
    def proxied(self) -> bool:
        return self._upstream is not None

    def pool(self, pinned: httpcore.AsyncNetworkBackend, bounds: Bounds) -> httpcore.AsyncConnectionPool:
        """Without a proxy all its connections are opened by ``pinned``."""
        upstream = self._upstream
        if upstream is None:
            return httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=bounds.connections,
                keepalive_expiry=KEEPALIVE_SECONDS,
                network_backend=pinned,
            )
        return httpcore.AsyncHTTPProxy(
            proxy_url=httpcore.URL(scheme=upstream.scheme, host=upstream.host, port=upstream.port, target="/"),
            proxy_auth=upstream.auth,
            ssl_context=self._tls,
            proxy_ssl_context=self._tls if upstream.scheme == "https" else None,
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
