"""What plugin code sees through httpx and requests, over the testing kit's fake and over the host and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import requests
from certificates import Authority
from http_wire import BOUNDS
from servers.web import Received, WebServer, hang, reply, web_server
from service_worlds import FakeWorld, HostWorld, closing, in_scope
from sql_worlds import FakeWorker, HostWorker

from moorage.broker.services.http import HttpService
from moorage.broker.services.http.outward import Outward
from moorage_sdk import CapabilityMissing, MoorageError, Plugin
from moorage_sdk import channel as channels
from moorage_sdk.errors import DeadlineExceeded
from moorage_sdk.http import adapter, async_transport, secret, transport
from moorage_sdk.services.http.httpx import AsyncTransport, Transport
from moorage_sdk.services.http.requests import Adapter
from moorage_sdk.testing import Moorage, TestedManifest
from moorage_sdk.testing.http import Answer, FakeHttp, Request, answer

VALUE = "k3y"


@dataclass
class Stage:
    """A server, as the plugin sees it, and what has reached it."""

    origin: str
    worker: Callable[..., HostWorker | FakeWorker]
    answer: Callable[..., None]
    mirror: Callable[[str], None]
    fail: Callable[[str, str], None]
    received: Callable[[], list[Any]]

    def channel(self, *capabilities: str, deny: tuple[str, ...] = ()) -> Any:
        return self.worker(*(each.replace("{origin}", self.origin) for each in capabilities), deny=deny).channel


EVERYTHING = tuple(
    f"http.{method}:{{origin}}/**" for method in ("get", "post", "put", "patch", "delete", "head", "options")
)


def told(method: str, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    return {"method": method, "target": target, "headers": headers, "body": body.decode("latin-1")}


@contextlib.contextmanager
def fake_stage() -> Iterator[Stage]:
    fake = FakeHttp()
    origin = "https://api.example.com"

    def mirror(path: str) -> None:
        def respond(request: Request) -> Answer:
            found = told(request.method, request.url.removeprefix(origin), dict(request.headers), request.body)
            return answer(json=found)

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
            fake.respond(method, origin + path, respond)

    def answered(path: str, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        fake.answer("GET", origin + path, status, body=body, headers=headers)

    with closing(FakeWorld(fake)) as world, in_scope():
        yield Stage(
            origin,
            world.worker,
            answered,
            mirror,
            lambda path, kind: fake.fail("GET", origin + path, kind),
            lambda: fake.requests,
        )


@contextlib.contextmanager
def host_stage(authority: Authority) -> Iterator[Stage]:
    async def vault(installation: str, name: str) -> str | None:
        return VALUE if name == "API_KEY" else None

    service = HttpService(replace(BOUNDS, idle_seconds=3), Outward(ca_file=authority.file, proxy=None), vault)
    with closing(HostWorld(service)) as world, in_scope():
        stack = contextlib.AsyncExitStack()
        web: WebServer = world.do(stack.enter_async_context(web_server(authority.server_context("127.0.0.1"))))

        async def respond(received: Received, writer: asyncio.StreamWriter) -> None:
            found = told(received.method, received.target, dict(received.headers), received.body)
            body = b"" if received.method == "HEAD" else json.dumps(found).encode()
            await reply(writer, 200, body, {"content-type": "application/json"})

        def answered(path: str, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
            async def handler(received: Received, writer: asyncio.StreamWriter) -> None:
                await reply(writer, status, body, headers or {})

            web.on(path, handler)

        async def cut(received: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            await writer.drain()
            writer.close()

        failures = {"read_timeout": hang, "protocol": cut}
        try:
            yield Stage(
                f"https://{web.origin}",
                world.worker,
                answered,
                lambda path: web.on(path, respond),
                lambda path, kind: web.on(path, failures[kind]),
                lambda: web.received,
            )
        finally:
            world.do(stack.aclose())


@pytest.fixture(params=["fake", pytest.param("host", marks=pytest.mark.system)])
def stage(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Stage]:
    with fake_stage() if request.param == "fake" else host_stage(authority) as made:
        yield made


class ByHttpx:
    """Each library by the same few words."""

    errors = httpx.TransportError
    timeout = httpx.TimeoutException

    def __init__(self, channel: Any) -> None:
        self.client = httpx.Client(transport=Transport(channel), trust_env=False)

    def request(self, method: str, url: str, **options: Any) -> Any:
        return self.client.request(method, url, **options)

    def follow(self, url: str) -> Any:
        return self.client.get(url, follow_redirects=True)

    def pieces(self, url: str) -> list[bytes]:
        with self.client.stream("GET", url) as response:
            return list(response.iter_bytes(1000))

    def close(self) -> None:
        self.client.close()


class ByAsyncHttpx:
    errors = httpx.TransportError
    timeout = httpx.TimeoutException

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def request(self, method: str, url: str, **options: Any) -> Any:
        return self._run(lambda client: client.request(method, url, **_awaitable(options)))

    def follow(self, url: str) -> Any:
        return self._run(lambda client: client.get(url, follow_redirects=True))

    def pieces(self, url: str) -> list[bytes]:
        async def read(client: httpx.AsyncClient) -> list[bytes]:
            async with client.stream("GET", url) as response:
                return [piece async for piece in response.aiter_bytes(1000)]

        return self._run(read)

    def close(self) -> None:
        """Each request has a client of its own."""

    def _run(self, work: Callable[[httpx.AsyncClient], Any]) -> Any:
        async def run() -> Any:
            async with httpx.AsyncClient(transport=AsyncTransport(self.channel), trust_env=False) as client:
                return await work(client)

        return asyncio.run(run())


def _awaitable(options: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(options.get("content"), Iterator):
        return options
    content = options["content"]

    async def pieces() -> Any:
        for piece in content:
            yield piece

    return {**options, "content": pieces()}


class ByRequests:
    errors = requests.RequestException
    timeout = requests.Timeout

    def __init__(self, channel: Any) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("https://", Adapter(channel))

    def request(self, method: str, url: str, **options: Any) -> Any:
        if "content" in options:
            options["data"] = options.pop("content")
        return self.session.request(method, url, allow_redirects=False, **options)

    def follow(self, url: str) -> Any:
        return self.session.get(url)

    def pieces(self, url: str) -> list[bytes]:
        with self.session.get(url, stream=True) as response:
            return list(response.iter_content(1000))

    def close(self) -> None:
        self.session.close()


Library = ByHttpx | ByAsyncHttpx | ByRequests


@pytest.fixture(params=[ByHttpx, ByAsyncHttpx, ByRequests])
def by(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Library]]:
    made: list[Library] = []

    def make(channel: Any) -> Library:
        made.append(request.param(channel))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_request_and_its_response(stage: Stage, by) -> None:
    stage.mirror("/v1/plays")
    response = by(stage.channel(*EVERYTHING)).request(
        "GET", f"{stage.origin}/v1/plays", params={"user": "ada", "n": "1 2"}, headers={"X-One": "1"}
    )
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    found = response.json()
    assert found["target"] in ("/v1/plays?user=ada&n=1+2", "/v1/plays?user=ada&n=1%202")
    assert found["headers"]["x-one"] == "1"
    assert found["headers"]["user-agent"].endswith(" moorage/churn")
    assert found["headers"]["host"] == stage.origin.removeprefix("https://")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_every_method(stage: Stage, by, method: str) -> None:
    stage.mirror("/x")
    response = by(stage.channel(*EVERYTHING)).request(method, f"{stage.origin}/x")
    assert response.status_code == 200
    assert response.content == b"" if method == "HEAD" else response.json()["method"] == method


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff" * 10, b"x" * 300_000, lambda: iter([b"abc", b"", b"x" * 100_000])],
    ids=["empty", "binary", "large", "streamed"],
)
def test_bodies_of_requests(stage: Stage, by, content) -> None:
    stage.mirror("/x")
    expected = b"".join(content()) if callable(content) else content
    given = content() if callable(content) else content
    response = by(stage.channel(*EVERYTHING)).request("POST", f"{stage.origin}/x", content=given)
    assert response.json()["body"].encode("latin-1") == expected


def test_a_file_as_a_body_of_requests(stage: Stage) -> None:
    stage.mirror("/x")
    library = ByRequests(stage.channel(*EVERYTHING))
    for options in ({"data": io.BytesIO(b"abc" * 50_000)}, {"files": {"f": ("name", b"abc")}}, {"json": {"a": 1}}):
        assert library.request("POST", f"{stage.origin}/x", **options).json()["body"]
    library.close()


def test_a_large_response_comes_in_pieces(stage: Stage, by) -> None:
    body = bytes(range(256)) * 4096
    stage.answer("/big", body=body)
    pieces = by(stage.channel(*EVERYTHING)).pieces(f"{stage.origin}/big")
    assert b"".join(pieces) == body
    assert len(pieces) > 100


def test_a_compressed_response_is_unpacked_by_the_library(stage: Stage, by) -> None:
    stage.answer("/packed", body=gzip.compress(b"hello" * 1000), headers={"Content-Encoding": "gzip"})
    assert by(stage.channel(*EVERYTHING)).request("GET", f"{stage.origin}/packed").text == "hello" * 1000


def test_statuses_cookies_and_repeated_headers(stage: Stage, by) -> None:
    stage.answer("/gone", 410, b"gone", {"Set-Cookie": "a=b; Path=/", "X-Latin": "caf\xe9"})
    response = by(stage.channel(*EVERYTHING)).request("GET", f"{stage.origin}/gone")
    assert (response.status_code, response.content) == (410, b"gone")
    assert response.cookies.get("a") == "b"
    with pytest.raises((httpx.HTTPStatusError, requests.HTTPError)):
        response.raise_for_status()


def test_a_redirect_is_followed_by_the_library_where_it_is_granted(stage: Stage, by) -> None:
    stage.answer("/from", 302, headers={"Location": "/to"})
    stage.answer("/to", body=b"there")
    library = by(stage.channel("http.get:{origin}/from", "http.get:{origin}/to"))
    assert library.follow(f"{stage.origin}/from").text == "there"
    refused = by(stage.worker(f"http.get:{stage.origin}/from", installation="other").channel)
    with pytest.raises(CapabilityMissing):
        refused.follow(f"{stage.origin}/from")


def test_a_refusal_is_an_error_of_both(stage: Stage, by) -> None:
    library = by(stage.channel("http.get:{origin}/v1/**"))
    for error in (CapabilityMissing, library.errors):
        with pytest.raises(error, match="lacks the capability http") as refused:
            library.request("GET", f"{stage.origin}/v2/x")
        assert refused.value.remedy == f"moorage grant churn 'http.get:{stage.origin}/v2/x'"
    with pytest.raises(CapabilityMissing):
        library.request("POST", f"{stage.origin}/v1/x", content=b"x" * 1_000_000)
    assert stage.received() == []
    stage.mirror("/v1/x")
    assert library.request("GET", f"{stage.origin}/v1/x").status_code == 200


def test_what_is_no_request_is_an_error_of_both(stage: Stage, by) -> None:
    library = by(stage.channel(*EVERYTHING))
    with pytest.raises(library.errors, match="The host makes no such request") as refused:
        library.request("TRACE", f"{stage.origin}/")
    assert isinstance(refused.value, MoorageError)


def test_a_server_that_does_not_answer_is_the_librarys_timeout(stage: Stage, by) -> None:
    stage.fail("/slow", "read_timeout")
    library = by(stage.channel(*EVERYTHING))
    with pytest.raises(library.timeout):
        library.request("GET", f"{stage.origin}/slow", timeout=0.1)


def test_a_response_that_breaks_off_is_the_librarys_error(stage: Stage, by) -> None:
    stage.fail("/cut", "protocol")
    library = by(stage.channel(*EVERYTHING))
    with pytest.raises(library.errors):
        library.request("GET", f"{stage.origin}/cut")


def test_a_secret_is_put_in_by_the_host(stage: Stage, by) -> None:
    stage.mirror("/x")
    library = by(stage.channel(*EVERYTHING, "secrets.use:API_KEY"))
    headers = {"Authorization": f"Bearer {secret('API_KEY')}", "X-Other": "{secret:API_KEY:0}"}
    found = library.request("GET", f"{stage.origin}/x", headers=headers).json()["headers"]
    assert found["authorization"] in ("Bearer k3y", "Bearer <secret API_KEY>")
    assert found["x-other"] == "{secret:API_KEY:0}"


def test_a_secret_takes_its_right_and_a_host_by_name(stage: Stage, by) -> None:
    headers = {"Authorization": f"Bearer {secret('API_KEY')}"}
    with pytest.raises(CapabilityMissing, match="API_KEY"):
        by(stage.channel(*EVERYTHING)).request("GET", f"{stage.origin}/x", headers=headers)
    wide = stage.worker("http.get:https://**", "secrets.use:API_KEY", "net.private:**", installation="other").channel
    with pytest.raises(CapabilityMissing, match="names scheme and host in full"):
        by(wide).request("GET", f"{stage.origin}/x", headers=headers)


def test_names_and_passwords_of_urls_become_headers(stage: Stage, by) -> None:
    stage.mirror("/x")
    url = stage.origin.replace("https://", "https://ada:lovelace@") + "/x"
    found = by(stage.channel(*EVERYTHING)).request("GET", url).json()["headers"]
    assert found["authorization"].startswith("Basic ")


@pytest.mark.parametrize("name", ["", "a:b", "a}", "a\n"])
def test_what_is_no_name_of_a_secret_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a secret"):
        secret(name)


def test_a_response_that_is_closed_early_gives_the_connection_up(stage: Stage) -> None:
    stage.answer("/big", body=bytes(5_000_000))
    channel = stage.channel(*EVERYTHING)
    with httpx.Client(transport=Transport(channel)) as client, client.stream("GET", f"{stage.origin}/big") as response:
        assert next(response.iter_raw())
    session = ByRequests(channel)
    with session.session.get(f"{stage.origin}/big", stream=True) as streamed:
        assert streamed.raw.read(10)
    session.close()


def test_clients_of_ones_own_find_the_channel_of_the_process(stage: Stage) -> None:
    stage.mirror("/x")
    channels.install(stage.channel(*EVERYTHING))
    try:
        with httpx.Client(transport=transport()) as client:
            assert client.get(f"{stage.origin}/x").status_code == 200

        async def fetch() -> int:
            async with httpx.AsyncClient(transport=async_transport()) as awaited:
                return (await awaited.get(f"{stage.origin}/x")).status_code

        assert asyncio.run(fetch()) == 200
        session = requests.Session()
        session.mount("https://", adapter())
        assert session.get(f"{stage.origin}/x", timeout=(1, 2)).status_code == 200
        session.close()
    finally:
        channels.install(None)


def test_a_deadline_is_an_error_of_both() -> None:
    from moorage_proto.errors import Reason, Status
    from moorage_sdk.services.http.httpx import RefusedDeadline
    from moorage_sdk.services.http.requests import RefusedDeadline as OfRequests

    late = DeadlineExceeded(Status.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED, "too late", retryable=True)
    request = httpx.Request("GET", "https://example.com/")
    for error in (RefusedDeadline(late, request), OfRequests(late, None)):
        assert str(error) == "too late"
        assert error.retryable
        assert isinstance(error, (httpx.TimeoutException, requests.Timeout))
        assert isinstance(error, DeadlineExceeded)


# Injection, and the testing kit

plugin = Plugin()


@plugin.task
def by_httpx(http: httpx.Client) -> str:
    return http.get("https://api.example.com/a").text


@plugin.task
async def by_async(http: httpx.AsyncClient) -> str:
    return (await http.get("https://api.example.com/a")).text


@plugin.task
def by_session(http: requests.Session) -> str:
    return http.get("https://api.example.com/a").text


@plugin.task
def optional(http: httpx.Client | None) -> bool:
    return http is not None


@pytest.mark.parametrize("task", [by_httpx, by_async, by_session])
def test_clients_are_injected_by_their_annotations(task: Any) -> None:
    moorage = Moorage(TestedManifest("churn"))
    moorage.grant("http.get:https://api.example.com/**")
    moorage.http.answer("GET", "https://api.example.com/*", text="hello")
    assert moorage.run(task).result == "hello"
    (made,) = moorage.http.requests
    assert (made.method, made.url, made.body) == ("GET", "https://api.example.com/a", b"")
    moorage.deny("http.get:https://api.example.com/a")
    assert isinstance(moorage.run(task).error, CapabilityMissing)
    moorage.close()


def test_an_optional_client_is_none_without_a_right() -> None:
    moorage = Moorage(TestedManifest("churn"))
    assert moorage.run(optional).result is False
    moorage.grant("http.post:https://api.example.com/**")
    assert moorage.run(optional).result is True
    moorage.close()


def test_the_fake_says_which_answer_is_missing_and_takes_the_newest() -> None:
    fake = FakeHttp()
    with closing(FakeWorld(fake)) as world, in_scope():
        client = httpx.Client(transport=Transport(world.worker("http.get:https://**").channel))
        with pytest.raises(
            httpx.ConnectError, match=r"add it with moorage\.http\.answer\('GET', 'https://a.example/x'"
        ):
            client.get("https://a.example/x?y")
        fake.answer("GET", "https://a.example/**", 404)
        fake.answer("get", "https://a.example/*", json={"a": 1}, headers={"x-b": "2"})
        assert client.get("https://a.example/x?y").json() == {"a": 1}
        assert client.get("https://a.example/x/y").status_code == 404
        fake.fail("GET", "https://a.example/x", "connect_timeout")
        with pytest.raises(httpx.ConnectTimeout, match="The test said so"):
            client.get("https://a.example/x")
        with pytest.raises(ValueError, match="it names no path"):
            fake.answer("GET", "https://a.example")
        assert fake.requests[0].url == "https://a.example/x?y"
        client.close()
