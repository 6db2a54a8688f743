"""HttpService: makes the requests of plugins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator

import httpcore

from moorage.broker.egress.resolver import HostRefused, HostUnknown, LookUp, system_look_up
from moorage.broker.services.base import Caller
from moorage.broker.services.http import failures, refusals
from moorage.broker.services.http.base import Bounds, Lookup, Timeouts
from moorage.broker.services.http.client import Client
from moorage.broker.services.http.clients import Clients
from moorage.broker.services.http.headers import incoming_headers, outgoing_headers
from moorage.broker.services.http.named import Named
from moorage.broker.services.http.outward import Outward
from moorage.config.services.http import HttpSettings
from moorage.errors import MoorageError
from moorage.models.installation import InstallationId
from moorage_proto import http_pb2
from moorage_proto.errors import CallError
from moorage_proto.http_access import Outgoing, invalid, read_head, secret_unnamed
from moorage_proto.http_pb2 import HttpReplyHead, HttpReplyItem

log = logging.getLogger(__name__)


#: Pieces of a body that are passed on before others have their turn.
TURN = 20


class HttpService:
    """Connections belong to the call that uses them, and end with it, or are kept for the installation's next one."""

    contract = http_pb2.DESCRIPTOR.services_by_name["HttpService"]

    def __init__(self, bounds: Bounds, outward: Outward, secrets: Lookup, *, look_up: LookUp = system_look_up) -> None:
        self._bounds = bounds
        self._secrets = secrets
        self.clients = Clients(lambda: Client(bounds, outward, look_up))

    @classmethod
    def from_settings(cls, settings: HttpSettings, secrets: Lookup) -> HttpService:
        """Raises HttpUnusable."""
        bounds = Bounds(
            connect_seconds=settings.connect_timeout.total_seconds(),
            idle_seconds=settings.idle_timeout.total_seconds(),
            request_bytes=settings.max_request_bytes,
            response_bytes=settings.max_response_bytes,
            connections=settings.max_connections,
            connections_per_host=settings.max_connections_per_host,
        )
        return cls(bounds, Outward(ca_file=settings.ca_file, proxy=settings.proxy), secrets)

    async def open(self) -> None:
        """Connections are made when they are needed."""

    async def close(self) -> None:
        await self.clients.close()

    async def request(
        self, caller: Caller, items: AsyncIterator[http_pb2.HttpRequestItem]
    ) -> AsyncGenerator[HttpReplyItem]:
        head = await _head(items)
        outgoing = read_head(head)
        named = Named(caller.covering, outgoing)
        allow_private = named.may_be_private()
        if allow_private:
            caller.only_while(named.may_be_private)
        headers = outgoing_headers(outgoing, caller.installation, await self._values(caller, outgoing, named))
        body = self._body(outgoing, items) if outgoing.has_body else None
        try:
            async with (
                self.clients.use(caller.installation) as client,
                client.exchange(outgoing, headers, body, self._timeouts(head), allow_private=allow_private) as response,
                contextlib.aclosing(self._replies(response)) as replies,
            ):
                async for reply in replies:
                    yield reply
        except HostRefused as refusal:
            raise refusals.host_refused(caller.installation, refusal) from None
        except HostUnknown as unknown:
            yield failures.unknown_host(unknown.message)
        except failures.EXPECTED as error:
            yield failures.failure(error, outgoing.url.origin)

    async def _replies(self, response: httpcore.Response) -> AsyncGenerator[HttpReplyItem]:
        version: bytes = response.extensions.get("http_version", b"HTTP/1.1")
        yield HttpReplyItem(
            head=HttpReplyHead(
                status=response.status,
                reason=response.extensions.get("reason_phrase", b""),
                headers=incoming_headers(response.headers),
                http_version=version.decode("ascii", "replace"),
            )
        )
        left = self._bounds.response_bytes
        number = 0
        async for piece in response.aiter_stream():
            number += 1
            if number % TURN == 0:
                # Thousands of chunks of a byte may have arrived already.
                await asyncio.sleep(0)
            left -= len(piece)
            if left < 0:
                yield failures.too_large(self._bounds.response_bytes)
                return
            yield HttpReplyItem(body=piece)

    async def _body(self, outgoing: Outgoing, items: AsyncIterator[http_pb2.HttpRequestItem]) -> AsyncIterator[bytes]:
        sent = 0
        async for item in items:
            if item.WhichOneof("item") != "body":
                raise invalid("After its head a request has pieces of its body alone.")
            sent += len(item.body)
            if sent > self._bounds.request_bytes:
                raise refusals.body_too_large(outgoing.url, self._bounds.request_bytes)
            if outgoing.content_length is not None and sent > outgoing.content_length:
                raise _length_wrong()
            if item.body:
                yield item.body
        if outgoing.content_length not in (None, sent):
            raise _length_wrong()

    async def _values(self, caller: Caller, outgoing: Outgoing, named: Named) -> dict[str, str]:
        """Of the secrets that the headers name. They go only to a host that stands in the grant as it is."""
        if not outgoing.secrets:
            return {}
        if not named():
            raise secret_unnamed(caller.installation, outgoing)
        caller.only_while(named)
        return {name: await self._value(caller.installation, name) for name in outgoing.secrets}

    async def _value(self, installation: InstallationId, name: str) -> str:
        try:
            value = await self._secrets(installation, name)
        except MoorageError:
            log.exception("%s: the secret %s cannot be read", installation, name)
            raise refusals.secret_unreadable(name) from None
        if value is None:
            raise refusals.secret_unknown(installation, name)
        return value

    def _timeouts(self, head: http_pb2.HttpRequestHead) -> Timeouts:
        def least(field: str, most: float) -> float:
            return min(getattr(head, field) / 1000, most) if head.HasField(field) else most

        return Timeouts(
            connect=least("connect_timeout_ms", self._bounds.connect_seconds),
            read=least("read_timeout_ms", self._bounds.idle_seconds),
            write=least("write_timeout_ms", self._bounds.idle_seconds),
            pool=head.pool_timeout_ms / 1000 if head.HasField("pool_timeout_ms") else None,
        )


def _length_wrong() -> CallError:
    return invalid("The body is not as long as its Content-Length says.")


async def _head(items: AsyncIterator[http_pb2.HttpRequestItem]) -> http_pb2.HttpRequestHead:
    async for item in items:
        if item.WhichOneof("item") == "head":
            return item.head
        break
    raise invalid("A request begins with its head.")
