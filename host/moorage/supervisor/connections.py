"""What a worker that was granted connections is told: where its proxy is, and which authorities to trust."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from moorage_sandbox.loopback import ADDRESS, PORT
from moorage_sandbox.widening import Opening

#: Where a worker sees the certificates of authorities.
AUTHORITIES = "/etc/ssl/cert.pem"

#: Files with all authorities that a machine trusts: Debian's, Fedora's, SUSE's, Alpine's.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

_PROXY = f"http://{ADDRESS}:{PORT}"
#: Programs look for either spelling. Nothing is reached without the proxy.
_PROXY_ENV = tuple(
    (spelling, value)
    for name, value in (("HTTPS_PROXY", _PROXY), ("HTTP_PROXY", _PROXY), ("ALL_PROXY", _PROXY), ("NO_PROXY", ""))
    for spelling in (name, name.lower())
)


def bundle_of(configured: Path | None) -> Path | None:
    """The operator's authorities, else the machine's; None: there are none."""
    if configured is not None:
        return configured
    paths = ssl.get_default_verify_paths()
    return next((Path(path) for path in (paths.cafile, *_BUNDLES) if path and os.path.isfile(path)), None)  # noqa: PTH113


def opening_of(bundle: Path | None) -> tuple[Opening, ...]:
    """Raises OSError where the bundle is not there."""
    if bundle is None:
        return ()
    source = os.path.realpath(bundle, strict=True)
    status = os.stat(source)  # noqa: PTH116 - beside realpath
    return (Opening(source, AUTHORITIES, "files", (status.st_dev, status.st_ino)),)


def environment_of(bundle: Path | None, *, configured: bool) -> tuple[tuple[str, str], ...]:
    """``configured``: the operator's own authorities take the place of those that libraries bring along."""
    if bundle is None:
        return _PROXY_ENV
    names = ["SSL_CERT_FILE"]
    if configured:
        names += ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"]
    return (*_PROXY_ENV, *((name, AUTHORITIES) for name in names))
