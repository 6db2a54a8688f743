"""Webhooks over HTTP: what is read, within which bounds, and that the listener has nothing else."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from moorage.config.settings import Settings
from moorage.config.webhooks import WebhookSettings
from moorage.models.execution import Execution, ExecutionState
from moorage.orchestrator.triggers.webhook import Request, WebhookRefused
from moorage.web import webhooks
from moorage.web.webhooks import ListenerUnusable, create_listener, listening

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Taking:
    """Implements ``WebhookOperations``."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, Request]] = []
        self.refusal: Exception | None = None

    async def receive(self, installation: str, name: str, request: Request) -> Execution:
        self.taken.append((installation, name, request))
        if self.refusal is not None:
            raise self.refusal
        return Execution("e-1", installation, "churn", "1", "execute", "webhook", ExecutionState.QUEUED, NOON)


@pytest.fixture
def taking() -> Taking:
    return Taking()


@pytest.fixture
async def sender(taking):
    app = create_listener(taking, WebhookSettings(max_body=1024))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://hooks") as client:
        yield client


async def test_what_was_sent_arrives_as_it_is(sender, taking):
    answer = await sender.post("/v1/webhooks/churn/orders?a=1&a=2&b=", content=b"\x00{", headers={"X-Sent-By": "shop"})
    assert (answer.status_code, answer.json()) == (202, {"execution": "e-1", "state": "queued"})
    ((installation, name, request),) = taking.taken
    assert (installation, name, request.method, request.path) == (
        "churn",
        "orders",
        "POST",
        "/v1/webhooks/churn/orders",
    )
    assert request.query == {"a": ["1", "2"], "b": [""]}
    assert (request.body, request.headers["x-sent-by"], request.is_known) == (b"\x00{", "shop", False)


async def test_refusals_are_problems_with_the_time_to_come_again(sender, taking):
    taking.refusal = WebhookRefused(503, "webhook_away", "Not now.", 30)
    answer = await sender.post("/v1/webhooks/churn/orders")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert (answer.json()["code"], answer.json()["detail"]) == ("webhook_away", "Not now.")
    taking.refusal = WebhookRefused(401, "signature_invalid", "No.")
    assert "retry-after" not in (await sender.post("/v1/webhooks/churn/orders")).headers


async def test_large_bodies_are_refused_whether_they_say_so_or_not(sender, taking):
    async def chunks():
        for _ in range(5):
            yield b"x" * 256

    assert (await sender.post("/v1/webhooks/churn/orders", content=b"x" * 1025)).status_code == 413
    assert (await sender.post("/v1/webhooks/churn/orders", content=chunks())).status_code == 413
    assert not taking.taken
    assert (await sender.post("/v1/webhooks/churn/orders", content=b"x" * 1024)).status_code == 202


async def test_many_headers_and_fields_are_refused(sender, taking):
    many = {f"x-{number}": "1" for number in range(100)}
    assert (await sender.post("/v1/webhooks/churn/orders", headers=many)).status_code == 431
    fields = "&".join(f"a{number}=1" for number in range(101))
    assert (await sender.post(f"/v1/webhooks/churn/orders?{fields}")).status_code == 400
    assert not taking.taken


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/webhooks/churn/orders"),
        ("POST", "/api/v1/installations"),
        ("GET", "/"),
        ("POST", "/v1/webhooks/churn"),
    ],
)
async def test_there_is_nothing_else(sender, taking, method, path):
    answer = await sender.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_route")
    assert not taking.taken


async def test_what_nobody_expected_tells_nothing(sender, taking, caplog):
    taking.refusal = RuntimeError("the password is x")
    with pytest.raises(RuntimeError):  # httpx raises it; a server only logs it
        await sender.post("/v1/webhooks/churn/orders")
    assert "unexpected" in caplog.text


async def test_the_api_takes_them_of_callers_that_it_knows(client, host, taking):
    host.webhooks = taking
    answer = await client.post("/webhooks/churn/orders", content=b"x")
    assert (answer.status_code, answer.json()) == (202, {"execution": "e-1", "state": "queued"})
    assert taking.taken[0][2].is_known


def test_addresses():
    assert WebhookSettings().address is None
    assert WebhookSettings(listen="127.0.0.1:8780").address == ("127.0.0.1", 8780)
    assert WebhookSettings(listen="[::1]:8780").address == ("::1", 8780)
    with pytest.raises(ValueError, match="pattern"):
        WebhookSettings(listen="8780")
    assert Settings().webhooks.listen is None


LOOPBACK = WebhookSettings(listen="127.0.0.1:0", timeout=timedelta(seconds=0.2), connections=4)


async def test_the_listener_serves_over_tcp_and_ends(taking):
    async with listening(taking, LOOPBACK) as port, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/v1/webhooks/churn/orders"
        assert (await client.post(url, content=b"x")).status_code == 202
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.post(url)


async def test_who_says_nothing_or_speaks_slowly_is_given_up(taking):
    async with listening(taking, LOOPBACK) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/webhooks/churn/orders HTTP/1.1\r\nHost: a\r\n")
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/webhooks/churn/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
    assert not taking.taken


async def test_an_address_that_is_taken_is_a_sentence(taking):
    async with listening(taking, LOOPBACK) as port:
        with pytest.raises(ListenerUnusable, match=r"\[webhooks\] listen"):
            async with listening(taking, WebhookSettings(listen=f"127.0.0.1:{port}")):
                pass


def test_paths_are_the_same_on_both():
    assert webhooks.PATH == "/v1/webhooks/{installation}/{name}"


REQUEST = b"POST /v1/webhooks/churn/orders HTTP/1.1\r\nHost: a\r\n"


async def connected(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    return reader, writer


async def test_a_connection_that_was_of_use_once_is_given_up_too(taking):
    async with listening(taking, LOOPBACK) as port, asyncio.timeout(10):
        for first, answer, rest in (
            (REQUEST + b"Content-Length: 0\r\n\r\n", b"HTTP/1.1 202 ", REQUEST),
            (b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", b"HTTP/1.1 404 ", b"abc"),
        ):
            reader, writer = await connected(port, first)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(answer)
            writer.write(rest)
            await reader.read()
            writer.close()


async def test_who_does_not_read_the_answers_is_given_up(taking):
    # Few of them fill all that is between the two.
    taking.refusal = WebhookRefused(400, "no", "No. " * 20_000)
    async with listening(taking, LOOPBACK) as port, asyncio.timeout(10):
        with socket.socket() as sender:
            sender.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sender, ("127.0.0.1", port))
            many = (REQUEST + b"Content-Length: 0\r\n\r\n") * 100_000
            with pytest.raises(ConnectionError):
                await loop.sock_sendall(sender, many)


async def test_a_body_in_tiny_pieces_is_refused_before_it_takes_up_the_host(taking):
    async with listening(taking, WebhookSettings(listen="127.0.0.1:0")) as port, asyncio.timeout(10):
        chunked = REQUEST + b"Transfer-Encoding: chunked\r\n\r\n"
        reader, writer = await connected(port, chunked + b"1\r\na\r\n" * 1000 + b"0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        assert not taking.taken
        # Few of them, and larger ones, are nobody's harm.
        for piece, count in ((b"1\r\na\r\n", 256), (b"80\r\n" + b"a" * 128 + b"\r\n", 1000)):
            reader, writer = await connected(port, chunked + piece * count + b"0\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
            writer.close()
    assert [len(request.body) for _, _, request in taking.taken] == [256, 128_000]


async def test_a_request_of_two_lengths_is_refused_and_nothing_behind_it_is_read(taking):
    async with listening(taking, LOOPBACK) as port, asyncio.timeout(10):
        both = REQUEST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        reader, writer = await connected(port, both + REQUEST + b"Content-Length: 0\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        writer.close()
        assert not taking.taken
        reader, writer = await connected(port, REQUEST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
        writer.close()
