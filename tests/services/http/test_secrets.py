"""Secrets that the host puts into headers."""

from __future__ import annotations

import asyncio
import logging

import pytest
from certificates import Authority
from http_wire import Failure, secret, until
from servers.web import WebServer, hang, web_server

from moorage.broker.services.http.service import HttpService
from moorage.errors import MoorageError
from moorage_proto.errors import CallError, Reason
from moorage_proto.http_pb2 import HttpHeaderPart

VALUE = "k3y-which-nobody-sees"
BEARER = [HttpHeaderPart(text=b"Bearer "), secret("API_KEY")]


async def vault(installation: str, name: str) -> str | None:
    if name == "SEALED":
        raise MoorageError("the key is gone")
    values = {"API_KEY": VALUE, "TORN": "a\r\nX-Injected: 1", "WIDE": "\u20ac", "PADDED": " k3y "}
    return values.get(name) if installation == "churn" else None


async def test_the_host_puts_it_in(make_wire, web: WebServer) -> None:
    rights = (f"http.get:http://{web.origin}/**", "secrets.use:API_KEY")
    async with make_wire(secrets=vault) as wire, wire.link(*rights) as caller:
        await caller.request("GET", f"http://{web.origin}/", ("Authorization", BEARER))
    assert web.received[0].header("authorization") == f"Bearer {VALUE}"
    allowed = {f"http.get:http://{web.origin}/", "secrets.use:API_KEY"}
    assert {capability for _, capability in wire.audit.passed} == allowed


@pytest.mark.parametrize("right", ["secrets.read:API_KEY", "secrets.use:OTHER", "secrets.write:**"])
async def test_it_takes_the_right_to_use_this_one(make_wire, web: WebServer, right: str) -> None:
    async with make_wire(secrets=vault) as wire, wire.link(f"http.get:http://{web.origin}/**", right) as caller:
        with pytest.raises(CallError) as refused:
            await caller.request("GET", f"http://{web.origin}/", ("Authorization", BEARER))
    assert (refused.value.reason, refused.value.capability) == (Reason.CAPABILITY_MISSING, "secrets.use:API_KEY")
    assert web.received == []


@pytest.mark.parametrize("right", ["http.get:**", "http.get:http://**:*/**", "http.get:*://127.0.0.1:*/**"])
async def test_it_goes_only_where_a_grant_names_the_host(make_wire, web: WebServer, right: str) -> None:
    rights = (right, "secrets.use:API_KEY", "net.private:127.0.0.1")
    async with make_wire(secrets=vault) as wire, wire.link(*rights) as caller:
        with pytest.raises(CallError, match="only where a grant names scheme and host in full"):
            await caller.request("GET", f"http://{web.origin}/", ("Authorization", BEARER))
        assert web.received == []
        assert (await caller.request("GET", f"http://{web.origin}/"))[0].status == 200


async def test_a_redirect_elsewhere_takes_it_nowhere(make_wire, web: WebServer) -> None:
    """The client asks again, with the same header, and is decided on anew."""
    rights = (f"http.get:http://{web.origin}/**", "http.get:http://**", "net.private:**", "secrets.use:API_KEY")
    async with make_wire(secrets=vault) as wire, wire.link(*rights) as caller, web_server() as other:
        await caller.request("GET", f"http://{web.origin}/", ("Authorization", BEARER))
        with pytest.raises(CallError, match="names scheme and host"):
            await caller.request("GET", f"http://localhost:{other.port}/", ("Authorization", BEARER))
    assert other.received == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("MISSING", "churn has no secret MISSING. An operator sets it with: moorage secrets set churn MISSING"),
        ("TORN", "holds a control character"),
        ("WIDE", "characters that cannot stand in a header"),
        ("SEALED", "cannot open it; its log says why"),
    ],
)
async def test_one_that_cannot_be_sent_is_said_without_its_value(make_wire, web, caplog, name, sentence) -> None:
    rights = (f"http.get:http://{web.origin}/**", "secrets.use:*")
    async with make_wire(secrets=vault) as wire, wire.link(*rights) as caller:
        with pytest.raises(CallError, match=sentence) as refused:
            await caller.request("GET", f"http://{web.origin}/", ("X-Key", [secret(name)]))
        assert "Injected" not in refused.value.message + caplog.text
        assert web.received == []
        await caller.request("GET", f"http://{web.origin}/", ("X-Key", [secret("PADDED")]))
    assert web.received[0].header("x-key") == "k3y"


@pytest.mark.parametrize("header", ["Host", "Content-Length", "Transfer-Encoding"])
async def test_headers_that_the_host_reads_hold_none(make_wire, web: WebServer, header: str) -> None:
    async with (
        make_wire(secrets=vault) as wire,
        wire.link(f"http.get:http://{web.origin}/**", "secrets.use:*") as caller,
    ):
        with pytest.raises(CallError, match="cannot hold a secret"):
            await caller.request("GET", f"http://{web.origin}/", (header, [secret("API_KEY")]))


@pytest.mark.parametrize("name", ["", "A B", "*", "A\n", "../x"])
async def test_what_is_no_name_of_a_secret_is_refused(make_wire, web: WebServer, name: str) -> None:
    async with (
        make_wire(secrets=vault) as wire,
        wire.link(f"http.get:http://{web.origin}/**", "secrets.use:**") as caller,
    ):
        with pytest.raises(CallError, match="no name of one"):
            await caller.request("GET", f"http://{web.origin}/", ("X-Key", [secret(name)]))


async def test_no_error_and_no_line_of_the_log_tells_it(make_wire, authority: Authority, caplog, monkeypatch) -> None:
    caplog.set_level(logging.DEBUG)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug in the host")

    async with web_server(authority.server_context("127.0.0.1")) as web, make_wire(secrets=vault) as wire:
        web.on("/hang", hang)
        rights = (f"http.get:https://{web.origin}/**", "http.get:https://127.0.0.1:1/**", "secrets.use:API_KEY")
        async with wire.link(*rights) as caller:
            await caller.request("GET", f"https://{web.origin}/", ("Authorization", BEARER))
            for url in ("https://127.0.0.1:1/", f"https://{web.origin}/hang"):
                with pytest.raises(Failure) as failed:
                    await caller.request("GET", url, ("Authorization", BEARER), read_timeout_ms=50)
                assert VALUE not in str(failed.value)
            monkeypatch.setattr(HttpService, "_replies", broken)
            with pytest.raises(CallError) as error:
                await caller.request("GET", f"https://{web.origin}/", ("Authorization", BEARER))
            assert VALUE not in error.value.message
    assert VALUE not in caplog.text


async def test_the_call_ends_when_the_right_to_the_secret_does(make_wire, web: WebServer) -> None:
    web.on("/", hang)
    right = f"http.get:http://{web.origin}/**"
    async with make_wire(secrets=vault) as wire, wire.link(right, "secrets.use:API_KEY") as caller:
        waiting = asyncio.create_task(caller.request("GET", f"http://{web.origin}/", ("Authorization", BEARER)))
        await until(lambda: len(web.received) == 1)
        await caller.set_grants(right)
        with pytest.raises(CallError) as ended:
            await waiting
    assert ended.value.reason == Reason.GRANT_REVOKED
