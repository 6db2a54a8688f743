"""Webhooks, taken by the API itself: of callers that it knows."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import Field

from moorage.models.execution import ExecutionState
from moorage.web import webhooks
from moorage.web.routes.host import Host
from moorage.web.schemas.base import Document

router = APIRouter(tags=["triggers"])


class Received(Document):
    """What a request has started."""

    execution: str = Field(description="Its id. The same where the same request came before.")
    state: ExecutionState


@router.post(
    "/webhooks/{installation}/{name}",
    status_code=202,
    response_model=Received,
    openapi_extra={"requestBody": {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def receive_webhook(request: Request, host: Host, installation: str, name: str) -> Response:  # noqa: ARG001 - read from the path by whoever answers
    """Start what waits for a webhook; answered when it is written down. One that has a secret is signed here, too."""
    return await webhooks.answer(request, host.webhooks, host.settings.webhooks, is_known=True)
