"""What the host makes of a request, on the wire to a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl

import pytest
from certificates import Authority
from http_wire import Failure, head, headers_of, read, until
from memory_link import SCOPE
from servers.web import Received, WebServer, hang, reply, web_server

from moorage.broker.egress.upstream import UpstreamInvalid
from moorage.broker.services.http.outward import HttpUnusable, Outward
from moorage_proto.errors import CallError, Reason
from moorage_proto.http_pb2 import HttpFailure, HttpRequestItem


async def test_a_request_arrives_as_it_was_made(make_wire, web: WebServer) -> None:
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/a/**") as caller:
        answered, body = await caller.request(
            "GET", f"http://{web.origin}/a/b?q=%20x&q=2#there", ("X-One", "1"), ("Accept", "text/plain"), ("X-One", "2")
        )
    assert (answered.status, answered.http_version, answered.reason) == (200, "HTTP/1.1", b"Status")
    assert headers_of(answered)["content-type"] == "application/json"
    told = json.loads(body)
    assert (told["method"], told["target"]) == ("GET", "/a/b?q=%20x&q=2")
    assert told["headers"] == [
        ["host", web.origin],
        ["x-one", "1"],
        ["accept", "text/plain"],
        ["x-one", "2"],
        ["user-agent", "moorage/churn"],
    ]
    assert wire.audit.passed == [("Request", f"http.get:http://{web.origin}/a/b")]


async def test_what_is_granted_is_what_is_compared(make_wire, web: WebServer) -> None:
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/public/**") as caller:
        with pytest.raises(CallError) as refused:
            await caller.request("GET", f"http://{web.origin}/private")
        assert refused.value.reason == Reason.CAPABILITY_MISSING
        assert refused.value.remedy == f"moorage grant churn 'http.get:http://{web.origin}/private'"
        with pytest.raises(CallError):
            await caller.request("POST", f"http://{web.origin}/public/x")
        assert web.received == []
        answered, _ = await caller.request("get", f"http://{web.origin}/public/x")
        assert answered.status == 200
    assert len(wire.audit.refused) == 2


async def test_what_is_sent_is_the_path_that_was_decided_on(make_wire, web: WebServer) -> None:
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/b/**") as caller:
        _, body = await caller.request("GET", f"http://{web.origin}/a/../%62/%7e/./c?d=../..")
    assert json.loads(body)["target"] == "/b/~/c?d=../.."


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_sent_with_its_length_or_in_chunks(make_wire, web: WebServer, chunked: bool) -> None:
    announced = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "6")
    async with make_wire() as wire, wire.link(f"http.post:http://{web.origin}/**") as caller:
        await caller.request("POST", f"http://{web.origin}/x", announced, body=(b"abc", b"", b"def"))
    (received,) = web.received
    assert received.body == b"abcdef"
    names = [name for name, _ in received.headers]
    assert names.count("content-length") + names.count("transfer-encoding") == 1


@pytest.mark.parametrize("pieces", [(b"abc",), (b"abcdefg",)])
async def test_a_body_of_another_length_than_announced_is_an_error(make_wire, web: WebServer, pieces) -> None:
    async with make_wire() as wire, wire.link(f"http.post:http://{web.origin}/**") as caller:
        with pytest.raises(CallError, match="not as long as"):
            await caller.request("POST", f"http://{web.origin}/x", ("Content-Length", "6"), body=pieces)
        answered, _ = await caller.request("POST", f"http://{web.origin}/x", ("Content-Length", "6"), body=(b"abcdef",))
        assert answered.status == 200


async def test_a_compressed_body_stays_compressed_and_hop_by_hop_headers_stay_behind(make_wire, web: WebServer) -> None:
    packed = gzip.compress(b"hello" * 100)
    web.answer("/", body=packed, content_encoding="gzip", connection="keep-alive", set_cookie="a=b", keep_alive="x")
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        answered, body = await caller.request("GET", f"http://{web.origin}/", ("Accept-Encoding", "gzip"))
    assert body == packed
    assert set(headers_of(answered)) == {"content-length", "content-encoding", "set-cookie"}


async def test_redirects_are_not_followed(make_wire, web: WebServer) -> None:
    web.answer("/", 302, location="/elsewhere")
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        answered, _ = await caller.request("GET", f"http://{web.origin}/")
    assert (answered.status, headers_of(answered)["location"]) == (302, "/elsewhere")
    assert len(web.received) == 1


async def test_over_tls_the_name_is_verified_and_the_address_pinned(make_wire, authority: Authority) -> None:
    async def look_up(host: str) -> list[str]:
        return ["127.0.0.1"]

    rights = ("http.get:https://api.example.com:*/**", "net.private:api.example.com")
    async with (
        web_server(authority.server_context("api.example.com")) as web,
        make_wire(look_up=look_up) as wire,
        wire.link(*rights) as caller,
    ):
        _, body = await caller.request("GET", f"https://api.example.com:{web.port}/")
        assert ["host", f"api.example.com:{web.port}"] in json.loads(body)["headers"]


@pytest.mark.parametrize("bad", ["host", "authority"])
async def test_a_certificate_that_is_not_trusted_is_refused_in_words(make_wire, authority, tmp_path, bad) -> None:
    issuer = Authority(tmp_path) if bad == "authority" else authority
    context = issuer.server_context("127.0.0.1" if bad == "authority" else "other.example.com")
    async with (
        web_server(context) as web,
        make_wire() as wire,
        wire.link(f"http.get:https://{web.origin}/**") as caller,
    ):
        with pytest.raises(Failure, match=r"is not trusted: .*(mismatch|signature)") as failed:
            await caller.request("GET", f"https://{web.origin}/")
    assert failed.value.kind == HttpFailure.CONNECT
    assert web.received == []


async def test_plain_http_where_tls_was_asked_for_is_said(make_wire) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, make_wire() as wire, wire.link(f"http.get:{origin}/**") as caller:
        with pytest.raises(Failure, match="does not speak TLS") as failed:
            await caller.request("GET", f"{origin}/")
    assert failed.value.kind == HttpFailure.CONNECT


async def test_connections_are_kept_for_the_same_installation_alone(make_wire, web: WebServer) -> None:
    right = f"http.get:http://{web.origin}/**"
    async with make_wire() as wire:
        async with wire.link(right) as one, wire.link(right, installation="other") as other:
            for _ in range(3):
                await one.request("GET", f"http://{web.origin}/")
            assert web.accepted == 1
            await other.request("GET", f"http://{web.origin}/")
            assert web.accepted == 2
        assert len(wire.service.clients) == 2
    await until(lambda: web.open == 0)


async def test_an_installation_that_makes_no_requests_keeps_no_connections(make_wire, web: WebServer) -> None:
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        wire.service.clients._idle_seconds = 0.01
        await caller.request("GET", f"http://{web.origin}/")
        await until(lambda: web.open == 0 and not len(wire.service.clients))
        await caller.request("GET", f"http://{web.origin}/")
    assert web.accepted == 2


async def test_more_requests_to_one_host_than_may_be_wait_or_time_out(make_wire, web: WebServer) -> None:
    go = asyncio.Event()

    async def wait(received: Received, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        await reply(writer, 200, b"", {})

    web.on("/", wait)
    async with make_wire(connections_per_host=2) as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        first = [asyncio.create_task(caller.request("GET", f"http://{web.origin}/")) for _ in range(3)]
        await until(lambda: len(web.received) == 2)
        with pytest.raises(Failure, match="As many requests") as failed:
            await caller.request("GET", f"http://{web.origin}/", pool_timeout_ms=20)
        assert failed.value.kind == HttpFailure.POOL_TIMEOUT
        go.set()
        assert [(await task)[0].status for task in first] == [200] * 3
        assert len(web.received) == 3


async def test_the_operators_proxy_is_used_and_its_password_stays_with_the_host(make_wire, web: WebServer) -> None:
    right = "http.get:http://upstream.example.com/**"

    async def look_up(host: str) -> list[str]:
        raise OSError("only the proxy knows")

    proxy = f"http://ada:s3cret@{web.origin}"
    async with make_wire(look_up=look_up, proxy=proxy) as wire, wire.link(right) as caller:
        _, body = await caller.request("GET", "http://upstream.example.com/x?y")
    (received,) = web.received
    assert (
        received.target == "http://upstream.example.com:80/x?y" or received.target == "http://upstream.example.com/x?y"
    )
    assert received.header("host") == "upstream.example.com"
    assert (received.header("proxy-authorization") or "").startswith("Basic ")
    assert json.loads(body)["method"] == "GET"


@pytest.mark.parametrize(
    ("host", "addresses"), [("127.0.0.1:1", []), ("inside.example.com", ["10.0.0.1"]), ("[::1]:1", [])]
)
async def test_through_a_proxy_nothing_private_is_asked_for(make_wire, web: WebServer, host, addresses) -> None:
    async def look_up(name: str) -> list[str]:
        return addresses

    async with make_wire(look_up=look_up, proxy=f"http://{web.origin}") as wire, wire.link("http.get:**") as caller:
        with pytest.raises(CallError) as refused:
            await caller.request("GET", f"http://{host}/")
    assert refused.value.reason == Reason.CAPABILITY_MISSING
    assert web.received == []


async def test_a_proxy_that_refuses_is_said(make_wire, web: WebServer) -> None:
    async def look_up(name: str) -> list[str]:
        return ["93.184.216.34"]

    async def forbid(received: Received, writer: asyncio.StreamWriter) -> None:
        await reply(writer, 403, b"", {})

    web.on("example.com:443", forbid)
    async with make_wire(look_up=look_up, proxy=f"http://{web.origin}") as wire, wire.link("http.get:**") as caller:
        with pytest.raises(Failure, match="The proxy of this host did not connect"):
            await caller.request("GET", "https://example.com/")
    assert web.received[0].method == "CONNECT"


async def test_the_environment_has_no_say(make_wire, web: WebServer, monkeypatch, tmp_path) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        await caller.request("GET", f"http://{web.origin}/")
    assert web.received[0].header("authorization") is None
    assert not (tmp_path / "keys").exists()


def test_settings_that_cannot_be_used_stop_the_host(tmp_path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    for options in (
        {"ca_file": tmp_path / "missing.pem", "proxy": None},
        {"ca_file": tmp_path / "no.pem", "proxy": None},
        {"ca_file": None, "proxy": "socks5://proxy:1080"},
        {"ca_file": None, "proxy": "proxy:3128"},
        {"ca_file": None, "proxy": "http://proxy:port"},
    ):
        with pytest.raises((HttpUnusable, UpstreamInvalid), match="cannot be used"):
            Outward(**options)
    assert Outward(ca_file=None, proxy="http://proxy:3128").proxied
    assert ssl.get_default_verify_paths() is not None


async def test_a_body_that_nobody_announced_is_no_request_of_its_own(make_wire, web: WebServer) -> None:
    """Pieces without a length are not written: on the wire they would be read as the next request."""
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        smuggled = b"DELETE /all HTTP/1.1\r\nHost: x\r\n\r\n"
        answered, _ = await caller.request("GET", f"http://{web.origin}/", body=(smuggled,))
        await caller.request("GET", f"http://{web.origin}/second")
    assert answered.status == 200
    assert [each.method for each in web.received] == ["GET", "GET"]


async def test_a_second_head_is_refused(make_wire, web: WebServer) -> None:
    async with make_wire() as wire, wire.link(f"http.post:http://{web.origin}/**") as caller:
        call, first = caller.open(head("POST", f"http://{web.origin}/", ("Transfer-Encoding", "chunked")))
        await call.send_item(first)
        await call.send_item(first)
        with pytest.raises(CallError, match="pieces of its body alone"):
            await read(call)
        call, _ = caller.open(head("POST", f"http://{web.origin}/"))
        await call.send_item(HttpRequestItem(body=b"x"))
        with pytest.raises(CallError, match="it names no resource"):
            await read(call)


async def test_the_call_ends_with_its_grant(make_wire, web: WebServer) -> None:
    web.on("/", hang)
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        waiting = asyncio.create_task(caller.request("GET", f"http://{web.origin}/"))
        await until(lambda: len(web.received) == 1)
        await caller.set_grants("http.get:https://elsewhere.example.com/**")
        with pytest.raises(CallError) as ended:
            await waiting
        assert ended.value.reason == Reason.GRANT_REVOKED
        await until(lambda: web.open == 0)


async def test_what_was_private_by_name_ends_when_only_a_wildcard_is_left(make_wire, web: WebServer) -> None:
    web.on("/", hang)
    wide, named = "http.get:http://**", f"http.get:http://{web.origin}/**"
    async with make_wire() as wire, wire.link(wide, named) as caller:
        waiting = asyncio.create_task(caller.request("GET", f"http://{web.origin}/"))
        await until(lambda: len(web.received) == 1)
        await caller.set_grants(wide)
        with pytest.raises(CallError) as ended:
            await waiting
        assert ended.value.reason == Reason.GRANT_REVOKED
        with pytest.raises(CallError, match="the host's own machine"):
            await caller.request("GET", f"http://{web.origin}/")


async def test_the_call_ends_with_its_scope(make_wire, web: WebServer) -> None:
    async def endless(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    web.on("/", endless)
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        call, first = caller.open(head("GET", f"http://{web.origin}/"))
        await call.send_item(first)
        items = call.__aiter__()
        assert (await items.__anext__()).head.status == 200
        await caller.link.session.close_scope(SCOPE, success=True)
        with pytest.raises(CallError):
            async for _ in items:
                pass
        await until(lambda: web.open == 0 and caller.link.session.in_flight == 0)
