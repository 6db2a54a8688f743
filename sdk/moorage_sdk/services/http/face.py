"""Injects clients of the plugin's own httpx and requests, told by name: importing them is the plugin's business."""

from __future__ import annotations

from typing import Tuple

from moorage_proto.http_access import VERBS
from moorage_sdk.services.base import Ask, Provided

CLIENT = "httpx:Client"
ASYNC_CLIENT = "httpx:AsyncClient"
SESSION = "requests.sessions:Session"


class HttpxFace:
    """One client for each scope and type, closed with it."""

    provides: Tuple[str, ...] = (CLIENT, ASYNC_CLIENT)
    per_scope = True
    capability_verbs: Tuple[str, ...] = tuple(sorted(VERBS))

    def make(self, ask: Ask) -> Provided:
        from moorage_sdk.services.http import httpx  # noqa: PLC0415 - the plugin that asks has httpx

        return httpx.injected_async(ask) if ask.type_name == ASYNC_CLIENT else httpx.injected(ask)


class RequestsFace:
    """One session for each scope, closed with it."""

    provides: Tuple[str, ...] = (SESSION,)
    per_scope = True
    capability_verbs: Tuple[str, ...] = tuple(sorted(VERBS))

    def make(self, ask: Ask) -> Provided:
        from moorage_sdk.services.http import requests  # noqa: PLC0415 - the plugin that asks has requests

        return requests.injected(ask)
