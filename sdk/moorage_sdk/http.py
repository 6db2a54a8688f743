"""HTTP requests that the host makes, for clients that a plugin builds itself.

    client = httpx.Client(transport=transport(), base_url="https://api.example.com")
    session.mount("https://", adapter())

Parameters annotated with ``httpx.Client``, ``httpx.AsyncClient`` or ``requests.Session`` get theirs without it. The
libraries are the plugin's own: they have to be among its dependencies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moorage_sdk.services.http.secret import secret

if TYPE_CHECKING:
    from moorage_sdk.services.http.httpx import AsyncTransport, Transport
    from moorage_sdk.services.http.requests import Adapter

__all__ = ["adapter", "async_transport", "secret", "transport"]


def transport() -> Transport:
    """For ``httpx.Client``."""
    from moorage_sdk.services.http.httpx import Transport  # noqa: PLC0415 - only plugins with httpx ask

    return Transport()


def async_transport() -> AsyncTransport:
    """For ``httpx.AsyncClient``."""
    from moorage_sdk.services.http.httpx import AsyncTransport  # noqa: PLC0415 - as above

    return AsyncTransport()


def adapter() -> Adapter:
    """For ``requests.Session.mount``."""
    from moorage_sdk.services.http.requests import Adapter  # noqa: PLC0415 - only plugins with requests ask

    return Adapter()
