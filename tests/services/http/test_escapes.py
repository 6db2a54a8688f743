"""Server-side request forgery: whatever a plugin writes, nothing private is connected to, and nothing but what was
granted is asked for. Each trick has its control, which shows that the same request succeeds where it is granted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpcore
import pytest
from http_wire import Failure, headers_of
from servers.web import WebServer, hang

from moorage_proto.errors import CallError, Reason
from moorage_proto.http_pb2 import HttpFailure

pytestmark = pytest.mark.system

#: Everything that an operator could grant by wildcards.
EVERYTHING = tuple(f"http.{method}:**" for method in ("get", "post", "put", "delete", "head", "options"))

Resolve = Callable[[str], object]


def addresses(**names: list[str]) -> Resolve:
    """By name, with _ for dots; each list is one answer after another, the last one for ever."""
    known = {name.replace("_", "."): list(answers) for name, answers in names.items()}

    async def look_up(host: str) -> list[str]:
        answers = known.get(host)
        if answers is None:
            raise OSError("no such name")
        return [answers.pop(0) if len(answers) > 1 else answers[0]]

    return look_up


#: {port} is that of a server which listens on every loopback address of this machine.
URLS = [
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.127.127.127:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0x0.0x0.0x1:{port}/",
    "http://0x7f.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0177.0.0.0x1:{port}/",
    "http://127.0.0.01:{port}/",
    "http://00127.0.0.1:{port}/",
    "http://4294967296:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://000.0.0.0:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[0:0:0:0:0:ffff:7f00:0001]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2001:0:7f00:1::]:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[fc00::1]:{port}/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[ff02::1]:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://[64:ff9b::a9fe:a9fe]/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/machine",
    "http://192.0.0.192/latest/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://user@127.0.0.1:{port}/",
    "http://user:password@127.0.0.1:{port}/",
    "http://public.example.com@127.0.0.1:{port}/",
    "http://public.example.com%40127.0.0.1:{port}/",
    "http://public.example.com:80@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@public.example.com/",
    "http://public.example.com\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@public.example.com/",
    "http://127.0.0.1:{port}?@public.example.com/",
    "http://public.example.com:{port}:80@127.0.0.1/",
    "http://127.0.0.1%00.public.example.com:{port}/",
    "http://127.0.0.1%2epublic.example.com:{port}/",
    "http://127.0.0.1%0d%0a:{port}/",
    "http://\uff11\uff12\uff17.0.0.1:{port}/",
    "http://\u2460\u2461\u2466.0.0.1:{port}/",
    "http://127\u30020\u30020\u30021:{port}/",
    "http://\u0661\u0662\u0667.0.0.1:{port}/",
    "http://[::\uff11]:{port}/",
    "http://rebound.example.com:{port}/",
    "http://mixed.example.com:{port}/",
    "http://six.example.com:{port}/",
    "http://mapped.example.com:{port}/",
    "http://zone.example.com:{port}/",
    "http://nothing.example.com:{port}/",
    "http:127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}/",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\t/",
    "ht\ntp://127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET%20/",
    "file:///etc/passwd",
    "dict://127.0.0.1:{port}/",
    "unix:///run/docker.sock",
    "http+unix://%2frun%2fdocker.sock/info",
    "http://127.0.0.1:0{port}/",
    "http://127.0.0.1:+{port}/",
    "http://127.0.0.1:{port}/%2e%2e/",
]

NAMES = {
    "localhost": ["127.0.0.1"],
    "rebound_example_com": ["127.0.0.1"],
    "six_example_com": ["::1"],
    "mapped_example_com": ["::ffff:127.0.0.1"],
    "zone_example_com": ["fe80::1%lo"],
    "nothing_example_com": ["0.0.0.0"],
    "metadata_google_internal": ["169.254.169.254"],
}


async def look_up_all(host: str) -> list[str]:
    if host == "mixed.example.com":
        return ["93.184.216.34", "127.0.0.1"]
    return list(NAMES.get(host.replace(".", "_"), [])) or ["93.184.216.34"]


@pytest.mark.parametrize("url", URLS)
async def test_nothing_private_is_reached_by_any_spelling(make_wire, web: WebServer, url: str) -> None:
    async with make_wire(look_up=look_up_all) as wire, wire.link(*EVERYTHING) as caller:
        with pytest.raises(CallError) as refused:
            await caller.request("GET", url.replace("{port}", str(web.port)))
    assert refused.value.reason in (Reason.CAPABILITY_MISSING, Reason.REQUEST_INVALID)
    assert web.accepted == 0
    assert "169.254" not in refused.value.message or "169.254" in url


async def test_control_the_same_server_is_reached_where_it_is_granted_by_name(make_wire, web: WebServer) -> None:
    async with make_wire() as wire, wire.link(f"http.get:http://127.0.0.1:{web.port}/**") as caller:
        for url in ("http://127.0.0.1:{port}/", "http://127.0.0.1.:{port}/", "http://[::ffff:7f00:1]:{port}/"):
            answered, _ = await caller.request("GET", url.replace("{port}", str(web.port)))
            assert answered.status == 200
    assert web.accepted == 1


@pytest.mark.parametrize(
    "right",
    [
        "http.get:http://127.0.0.*:*/**",
        "http.get:http://*.0.0.1:*/**",
        "http.get:*://127.0.0.1:*/**",
        "http.get:http://**:*/**",
        "http.get:**",
    ],
)
async def test_a_wildcard_names_no_private_address(make_wire, web: WebServer, right: str) -> None:
    async with make_wire() as wire:
        async with wire.link(right) as caller:
            with pytest.raises(CallError, match=r"net\.private:127\.0\.0\.1") as refused:
                await caller.request("GET", f"http://{web.origin}/")
            assert refused.value.remedy == "moorage grant churn 'net.private:127.0.0.1'"
        assert web.accepted == 0
        async with wire.link(right, "net.private:127.0.0.1") as caller:
            assert (await caller.request("GET", f"http://{web.origin}/"))[0].status == 200
        async with wire.link(right, "net.private:127.0.0.1", deny=("net.private:**",)) as caller:
            with pytest.raises(CallError, match="own machine"):
                await caller.request("GET", f"http://{web.origin}/")


async def test_a_grant_that_names_a_public_name_is_none_to_where_its_owner_points_it(make_wire, web: WebServer) -> None:
    rights = ("http.get:http://evil.example.com:*/**",)
    async with make_wire(look_up=addresses(evil_example_com=["127.0.0.1"])) as wire:
        async with wire.link(*rights) as caller:
            with pytest.raises(CallError, match=r"evil\.example\.com is not reached for plugins"):
                await caller.request("GET", f"http://evil.example.com:{web.port}/")
        assert web.accepted == 0
        async with wire.link(*rights, "net.private:evil.example.com") as caller:
            assert (await caller.request("GET", f"http://evil.example.com:{web.port}/"))[0].status == 200


@pytest.mark.parametrize("name", ["db", "wiki.internal", "printer.local"])
async def test_a_grant_that_names_what_the_public_dns_cannot_hold_is_enough(make_wire, web, name: str) -> None:
    async def look_up(host: str) -> list[str]:
        return ["127.0.0.1"]

    async with make_wire(look_up=look_up) as wire, wire.link(f"http.get:http://{name}:*/**") as caller:
        assert (await caller.request("GET", f"http://{name}:{web.port}/"))[0].status == 200


async def test_a_name_that_answers_differently_the_second_time_gains_nothing(
    make_wire, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is public and checked, and that is what is connected to."""
    connected: list[str] = []

    async def connect_tcp(backend: object, host: str, port: int, **options: object) -> None:
        connected.append(host)
        raise httpcore.ConnectError

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    look_up = addresses(rebind_example_com=["93.184.216.34", "127.0.0.1"])
    async with make_wire(look_up=look_up) as wire, wire.link(*EVERYTHING) as caller:
        with pytest.raises(Failure):
            await caller.request("GET", f"http://rebind.example.com:{web.port}/")
        with pytest.raises(CallError, match="own machine"):
            await caller.request("GET", f"http://rebind.example.com:{web.port}/")
    assert connected == ["93.184.216.34"]


async def test_a_kept_connection_is_only_for_those_who_may_make_it(make_wire, web: WebServer) -> None:
    """One request may reach this address, and leaves a connection there; the next one may not."""
    url, wide = f"http://{web.origin}/", "http.get:**"
    async with make_wire() as wire, wire.link(wide, f"http.get:http://{web.origin}/**") as caller:
        await caller.request("GET", url)
        await caller.set_grants(wide)
        with pytest.raises(CallError, match="own machine"):
            await caller.request("GET", url)
    assert len(web.received) == 1


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1:{port}/admin", "http://[::1]:{port}/admin", "//127.0.0.1:{port}/admin", "http://2130706433/"],
)
async def test_a_redirect_is_a_request_of_its_own(make_wire, web: WebServer, location: str) -> None:
    """The client follows it by asking again, and is refused like anybody else."""
    web.answer("/", 302, location=location.replace("{port}", str(web.port)))
    rights = ("http.get:http://web.internal:*/**", "http.get:**")
    async with make_wire(look_up=addresses(web_internal=["127.0.0.1"])) as wire, wire.link(*rights) as caller:
        answered, _ = await caller.request("GET", f"http://web.internal:{web.port}/")
        target = headers_of(answered)["location"]
        target = f"http:{target}" if target.startswith("//") else target
        with pytest.raises(CallError):
            await caller.request("GET", target)
    assert [each.path for each in web.received] == ["/"]


HEADERS = [
    ("Host", "evil.example.com"),
    ("Host", "127.0.0.1"),
    ("Host", "{origin}@evil.example.com"),
    ("Host", ""),
    ("host", "evil.example.com"),
    ("X-Ok", "1\r\nX-Injected: 1"),
    ("X-Ok", "1\nX-Injected: 1"),
    ("X-Ok", "1\rX-Injected: 1"),
    ("X-Ok", "1\x00"),
    ("X-Ok", "1\x0b2"),
    ("X-Ok: 1\r\nX-Injected", "1"),
    ("X-Ok:", "1"),
    ("X Ok", "1"),
    (" X-Ok", "1"),
    ("X-Ok\t", "1"),
    ("", "1"),
    ("X-\u00e9", "1"),
    ("Transfer-Encoding", "identity"),
    ("Transfer-Encoding", "gzip, chunked"),
    ("Transfer-Encoding", "xchunked"),
    ("Transfer-Encoding", "chunked, chunked"),
    ("Transfer-Encoding", "\x0bchunked"),
    ("Transfer-Encoding ", "chunked"),
    ("Content-Length", "-1"),
    ("Content-Length", "+5"),
    ("Content-Length", "0x10"),
    ("Content-Length", "5, 6"),
    ("Content-Length", "5 6"),
    ("Content-Length", ""),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-HTTP-Method", "DELETE"),
    ("X-Method-Override", "DELETE"),
    ("X-Original-URL", "/admin"),
    ("X-Rewrite-URL", "/admin"),
    ("X-Forwarded-Host", "evil.example.com"),
    ("X-Host", "evil.example.com"),
    ("Forwarded", "host=evil.example.com"),
    ("Destination", "http://{origin}/admin"),
    ("X-Forwarded-Prefix", "/admin"),
    # As servers see them that make variables of headers.
    ("X_Forwarded_Host", "evil.example.com"),
    ("x_http-method_override", "DELETE"),
    ("Content_Length", "-1"),
    ("Transfer_Encoding", "gzip"),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
async def test_headers_that_say_something_else_than_the_grant_are_refused(make_wire, web, name, value) -> None:
    value = value.replace("{origin}", web.origin)
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        with pytest.raises(CallError) as refused:
            await caller.request("GET", f"http://{web.origin}/", (name, value))
        assert refused.value.reason == Reason.REQUEST_INVALID
        assert "Injected" not in refused.value.message
        assert web.received == []
        answered, _ = await caller.request(
            "GET", f"http://{web.origin}/", ("X-Ok", " 1 "), ("Host", web.origin), ("Content-Length", "0")
        )
        assert answered.status == 200
    assert [value for key, value in web.received[0].headers if key == "x-ok"] == ["1"]


@pytest.mark.parametrize(
    "announced",
    [
        [("Content-Length", "3"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "3")],
        [("Content-Length", "3"), ("Content-Length", "30")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
    ],
)
async def test_a_body_announced_in_two_ways_is_refused(make_wire, web: WebServer, announced) -> None:
    async with make_wire() as wire, wire.link(f"http.post:http://{web.origin}/**") as caller:
        with pytest.raises(CallError):
            await caller.request("POST", f"http://{web.origin}/", *announced, body=(b"abc",))
        assert web.received == []
        await caller.request("POST", f"http://{web.origin}/", *announced[:1], body=(b"abc",))
    assert web.received[0].body == b"abc"


@pytest.mark.parametrize(
    "name", ["Connection", "Upgrade", "TE", "Trailer", "Keep-Alive", "Proxy-Authorization", "Expect"]
)
async def test_headers_of_the_connection_stay_behind(make_wire, web: WebServer, name: str) -> None:
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        await caller.request("GET", f"http://{web.origin}/", (name, "x-secret, websocket"))
    assert web.received[0].header(name.lower()) is None


@pytest.mark.parametrize(
    "method", ["CONNECT", "TRACE", "TRACK", "COPY", "MOVE", "GET /x HTTP/1.1\r\nA:", "", "G ET", "*"]
)
async def test_methods_that_name_more_than_a_url_are_refused(make_wire, web: WebServer, method: str) -> None:
    rights = (f"http.get:http://{web.origin}/**", "http.connect:**", "http.trace:**")
    async with make_wire() as wire, wire.link(*rights) as caller:
        with pytest.raises(CallError, match="The host makes no such request"):
            await caller.request(method, f"http://{web.origin}/")
        assert web.received == []
        assert (await caller.request("GET", f"http://{web.origin}/"))[0].status == 200


PATHS = [
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/%2E%2e/admin",
    "/public/.%2e/admin",
    "/public/..%2fadmin",
    "/public%2f..%2fadmin",
    "/public/%252e%252e/admin",
    "/public/%252e%252e%252fadmin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "/public/..;/admin",
    "/public/..;a=b/admin",
    "/public/..%3b/admin",
    "/public/%c0%ae%c0%ae/admin",
    "/public/..%c0%afadmin",
    "/public/./../admin",
    "/public//../../admin",
    "/public/%2f../admin",
    "/public/%00/../../admin",
    "/public/x/..%2f..%2fadmin",
    "//admin",
    "/Public/../public/../admin",
]


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_out_of_what_was_granted(make_wire, web: WebServer, path: str) -> None:
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/public/**") as caller:
        with pytest.raises(CallError):
            await caller.request("GET", f"http://{web.origin}{path}")
        assert web.received == []
        assert (await caller.request("GET", f"http://{web.origin}/public/a/../b"))[0].status == 200
    assert web.received[0].target == "/public/b"


@pytest.mark.parametrize(
    "path", [*PATHS, "/admin;x", "/%61dmin", "/./admin", "/adm%2569n", "//admin", "/x/%2e%2e/admin"]
)
async def test_no_path_goes_round_a_denial(make_wire, web: WebServer, path: str) -> None:
    rights = {"deny": (f"http.get:http://{web.origin}/admin",)}
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**", **rights) as caller:
        with pytest.raises(CallError):
            await caller.request("GET", f"http://{web.origin}{path}")
        assert web.received == []
        assert (await caller.request("GET", f"http://{web.origin}/other"))[0].status == 200


async def test_a_server_that_switches_protocols_gets_no_tunnel(make_wire, web: WebServer) -> None:
    async def switch(received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        await hang(received, writer)

    web.on("/", switch)
    async with make_wire() as wire, wire.link(f"http.get:http://{web.origin}/**") as caller:
        with pytest.raises(Failure) as failed:
            await caller.request("GET", f"http://{web.origin}/")
        assert failed.value.kind == HttpFailure.PROTOCOL
        await asyncio.wait_for(web.closed.wait(), 5)
