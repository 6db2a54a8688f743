"""Secrets in headers: the plugin writes where, the host puts in what. The plugin never sees the value."""

from __future__ import annotations

import re
import secrets
from typing import List

from moorage_proto.http_pb2 import HttpHeaderPart

#: Unknown to whoever writes the texts that a plugin passes on: what comes from outside is never taken for a secret.
_MARK = secrets.token_hex(16)
_PLACE = re.compile(rf"\{{secret:([^:{{}}]+):{_MARK}\}}".encode())


def secret(name: str) -> str:
    """Stands for a secret in the value of a header: ``{"Authorization": f"Bearer {secret('API_KEY')}"}``.

    The host puts the secret of the installation in when the request leaves, which takes ``secrets.use:API_KEY`` and a
    right to the request that names scheme and host in full. It goes nowhere else: a redirect to another host is a
    request of its own. In anything but a header the text stays as it is.
    """
    if not name or set(name) & set(":{}\r\n"):
        raise ValueError(f"{name!r} is no name of a secret")
    return f"{{secret:{name}:{_MARK}}}"


def parts(value: bytes) -> List[HttpHeaderPart]:
    """A header's value for the host."""
    pieces = _PLACE.split(value)
    found: List[HttpHeaderPart] = []
    for index, piece in enumerate(pieces):
        if index % 2:
            found.append(HttpHeaderPart(secret=piece.decode("latin-1")))
        elif piece or len(pieces) == 1:
            found.append(HttpHeaderPart(text=piece))
    return found
