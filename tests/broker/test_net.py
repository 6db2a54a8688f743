"""The proxy of one worker: what it asks for is decided, connected to once, counted, and ended with its right."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_link import Connected, RecordingAudit, connected

from moorage.broker.broker import Broker
from moorage.broker.egress.resolver import MAX_LOOK_UPS_EACH, HostRefused
from moorage.broker.egress.upstream import Upstream, UpstreamInvalid
from moorage.broker.net import Dialler
from moorage.broker.net import proxy as proxies
from moorage.broker.net.request import RequestRefused, Target, target_of
from moorage.broker.scope import ScopeKind
from moorage.models.manifest import Limits
from moorage_proto.capability import Grants, parse

DEADLINE_SECONDS = 10


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("CONNECT api.example.com:443 HTTP/1.1", Target("api.example.com", 443)),
        ("CONNECT API.Example.COM.:443 HTTP/1.0", Target("api.example.com", 443)),
        ("CONNECT [2001:DB8::1]:8443 HTTP/1.1", Target("2001:db8::1", 8443)),
        ("CONNECT [::ffff:127.0.0.1]:80 HTTP/1.1", Target("127.0.0.1", 80)),
        ("CONNECT 192.0.2.1:65535 HTTP/1.1", Target("192.0.2.1", 65535)),
    ],
)
def test_hosts_are_read_in_one_spelling(line: str, target: Target) -> None:
    assert target_of(f"{line}\r\nHost: other.example\r\n\r\n".encode()) == target


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET http://api.example.com/ HTTP/1.1", 405),
        ("connect api.example.com:443 HTTP/1.1", 405),
        ("CONNECT api.example.com HTTP/1.1", 400),
        ("CONNECT api.example.com:0 HTTP/1.1", 400),
        ("CONNECT api.example.com:65536 HTTP/1.1", 400),
        ("CONNECT api.example.com:0443 HTTP/1.1", 400),
        ("CONNECT api.example.com:443:443 HTTP/1.1", 400),
        ("CONNECT user@api.example.com:443 HTTP/1.1", 400),
        ("CONNECT https://api.example.com:443 HTTP/1.1", 400),
        ("CONNECT 2130706433:443 HTTP/1.1", 400),
        ("CONNECT 0x7f.1:443 HTTP/1.1", 400),
        ("CONNECT 127.1:443 HTTP/1.1", 400),
        ("CONNECT 010.0.0.1:443 HTTP/1.1", 400),
        ("CONNECT [fe80::1%eth0]:443 HTTP/1.1", 400),
        ("CONNECT  api.example.com:443 HTTP/1.1", 400),
        ("CONNECT api.example.com:443 HTTP/2.0", 400),
        ("CONNECT api.example.com:443", 400),
        ("CONNECT \x00:443 HTTP/1.1", 400),
        ("", 400),
    ],
)
def test_what_is_no_target_is_refused(line: str, status: int) -> None:
    with pytest.raises(RequestRefused) as refused:
        target_of(f"{line}\r\n\r\n".encode())
    assert refused.value.status == status


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_target_or_refused(data: bytes) -> None:
    try:
        target = target_of(data)
    except RequestRefused:
        return
    assert target_of(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode()) == target


Ask = Callable[[str], "asyncio.Future[bytes]"]


class Net:
    """A worker's proxy on the test's own loopback, and an echo behind the name echo.internal."""

    def __init__(self, link: Connected, audit: RecordingAudit, port: int, echo: int) -> None:
        self.link, self.audit, self.port, self.echo = link, audit, port, echo
        self.dialled: list[str] = []

    async def connect(self, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        """The streams, and the status line."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        return reader, writer, head.splitlines()[0].removeprefix("HTTP/1.1 ")

    @property
    def in_flight(self) -> int:
        return self.link.session.in_flight

    async def idle(self) -> None:
        while self.in_flight or self.link.session.holdings():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def net(
    *rights: str,
    limits: Limits | None = None,
    names: dict[str, Sequence[str]] | None = None,
    dialler: Dialler | None = None,
) -> AsyncIterator[Net]:
    answers = {"echo.internal": ["127.0.0.1"], **(names or {})}
    dialled: list[str] = []

    async def look_up(host: str) -> Sequence[str]:
        dialled.append(host)
        return answers[host]

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()
        except OSError:
            writer.transport.abort()

    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        audit = RecordingAudit()
        broker = Broker([], audit, dialler=dialler or Dialler(look_up))
        await broker.open()
        stack.push_async_callback(broker.close)
        grants = Grants(tuple(parse(right.replace("PORT", str(port))) for right in rights))
        link = await stack.enter_async_context(connected(broker, grants, **({"limits": limits} if limits else {})))
        link.session.open_scope(ScopeKind.INCARNATION, "i-churn")
        listener = socket.create_server(("127.0.0.1", 0))
        await link.session.serve_net(listener)
        made = Net(link, audit, listener.getsockname()[1], port)
        made.dialled = dialled
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield made


@pytest.fixture
async def usual() -> AsyncIterator[Net]:
    async with net("net.connect:echo.internal:PORT") as made:
        yield made


async def test_bytes_go_both_ways_and_the_end_is_told(usual: Net) -> None:
    reader, writer, status = await usual.connect(f"echo.internal:{usual.echo}")
    assert status == "200 Connection established"
    (holding,) = usual.link.session.holdings()
    assert holding.what == f"connection to echo.internal:{usual.echo}"
    writer.write(b"x" * 1_000_000)
    writer.write_eof()
    assert await reader.read() == b"x" * 1_000_000
    writer.close()
    await usual.idle()
    assert usual.audit.passed == [("CONNECT", f"net.connect:echo.internal:{usual.echo}")]


@pytest.mark.parametrize("target", ["echo.internal:1", "other.internal:PORT", "127.0.0.1:PORT", "localhost:PORT"])
async def test_what_was_not_granted_is_refused_before_it_is_looked_up(usual: Net, target: str) -> None:
    target = target.replace("PORT", str(usual.echo))
    reader, writer, status = await usual.connect(target)
    assert status.startswith("403 ")
    assert f"net.connect:{target}" in (await reader.read()).decode()
    assert usual.dialled == []
    assert [entry.capability for entry in usual.audit.refused] == [f"net.connect:{target}"]
    writer.close()
    await usual.idle()


async def test_a_public_name_that_leads_to_this_machine_is_refused() -> None:
    """However often it is asked, and whatever it says first: each connection is looked up once, and checked."""
    names = {"rebind.example.com": ["127.0.0.1"], "both.example.com": ["93.184.216.34", "169.254.169.254"]}
    async with net("net.connect:*.example.com:PORT", names=names) as made:
        for name in names:
            _, writer, status = await made.connect(f"{name}:{made.echo}")
            assert status.startswith("403 ")
            writer.close()
        await made.idle()
        assert made.dialled == list(names)
    async with net("net.connect:*.example.com:PORT", "net.private:rebind.example.com", names=names) as made:
        _, writer, status = await made.connect(f"rebind.example.com:{made.echo}")
        assert status.startswith("200 ")
        writer.close()
        await made.idle()


async def test_a_wildcard_is_none_to_what_is_private() -> None:
    async with net("net.connect:**:PORT") as made:
        for host in ("echo.internal", "127.0.0.1", "[::1]"):
            _, writer, status = await made.connect(f"{host}:{made.echo}")
            assert status.startswith("403 "), host
            writer.close()
    async with net("net.connect:127.0.0.1:PORT") as made:
        _, writer, status = await made.connect(f"127.0.0.1:{made.echo}")
        assert status.startswith("200 ")
        writer.close()


async def test_a_right_that_is_taken_back_ends_the_connection(usual: Net) -> None:
    reader, writer, _ = await usual.connect(f"echo.internal:{usual.echo}")
    await usual.link.session.set_grants(Grants(epoch=1))
    assert await reader.read() == b""
    writer.close()
    await usual.idle()
    _, writer, status = await usual.connect(f"echo.internal:{usual.echo}")
    assert status.startswith("403 ")
    writer.close()


async def test_the_right_to_a_private_address_ends_the_connection_too() -> None:
    names = {"wiki.example.com": ["127.0.0.1"]}
    async with net("net.connect:wiki.example.com:PORT", "net.private:wiki.example.com", names=names) as made:
        reader, writer, status = await made.connect(f"wiki.example.com:{made.echo}")
        assert status.startswith("200 ")
        connect = parse(f"net.connect:wiki.example.com:{made.echo}")
        await made.link.session.set_grants(Grants((connect, parse("net.private:*.example.com")), epoch=1))
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        await made.link.session.set_grants(Grants((connect,), epoch=2))
        assert await reader.read() == b""
        writer.close()
        await made.idle()


async def test_a_name_server_that_never_answers_holds_up_its_own_plugin_alone() -> None:
    asked, never = [], asyncio.Event()

    async def look_up(host: str) -> Sequence[str]:
        asked.append(host)
        if host.startswith("slow"):
            await never.wait()
        return ["127.0.0.1"]

    dialler = Dialler(look_up)
    rights = ("net.connect:**:PORT", "net.private:**")
    async with net(*rights, dialler=dialler) as made, net(*rights, dialler=dialler) as other:
        slow = []
        for number in range(2 * MAX_LOOK_UPS_EACH):
            _, writer = await asyncio.open_connection("127.0.0.1", made.port)
            writer.write(f"CONNECT slow{number}.example.com:{made.echo} HTTP/1.1\r\n\r\n".encode())
            slow.append(writer)
        while made.in_flight < len(slow):
            await asyncio.sleep(0.001)
        _, writer, status = await other.connect(f"quick.example.com:{other.echo}")
        assert status.startswith("200 ")
        for each in (writer, *slow):
            each.close()
        assert asked == [*(f"slow{number}.example.com" for number in range(MAX_LOOK_UPS_EACH)), "quick.example.com"]
        never.set()


async def test_a_process_that_is_short_of_descriptors_keeps_the_rest_for_itself(
    usual: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxies, "DESCRIPTORS_SHARE", 0.0)
    reader, refused = await asyncio.open_connection("127.0.0.1", usual.port)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    refused.close()
    monkeypatch.undo()
    _, writer, status = await usual.connect(f"echo.internal:{usual.echo}")
    assert status.startswith("200 ")
    writer.close()


async def test_connections_are_taken_again_after_a_shortage(usual: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "SHORTAGE_SECONDS", 0.01)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        client.setblocking(False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
        try:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", usual.port))
            await asyncio.sleep(0.03)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(f"CONNECT echo.internal:{usual.echo} HTTP/1.1\r\n\r\nearly".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        # What came behind the head belongs to the connection.
        assert await reader.readexactly(5) == b"early"
        writer.close()


async def test_the_end_of_the_link_ends_all(usual: Net) -> None:
    reader, writer, _ = await usual.connect(f"echo.internal:{usual.echo}")
    await usual.link.session.end()
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset
        await asyncio.open_connection("127.0.0.1", usual.port)
    assert usual.in_flight == 0


async def test_a_server_that_is_not_there_is_told_without_its_address() -> None:
    async with net("net.connect:echo.internal:1", names={"echo.internal": ["127.0.0.1"]}) as made:
        reader, writer, status = await made.connect("echo.internal:1")
        assert status.startswith("502 ")
        assert "127.0.0.1" not in (await reader.read()).decode()
        writer.close()
        await made.idle()


async def test_calls_in_flight_bound_connections() -> None:
    async with net("net.connect:echo.internal:PORT", limits=Limits(calls_in_flight=2)) as made:
        opened = [await made.connect(f"echo.internal:{made.echo}") for _ in range(3)]
        assert [status[:3] for _, _, status in opened] == ["200", "200", "429"]
        for _, writer, _ in opened:
            writer.close()
        await made.idle()
        _, writer, status = await made.connect(f"echo.internal:{made.echo}")
        assert status.startswith("200 ")
        writer.close()


async def test_heads_without_end_are_cut_off(usual: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", usual.port)
    writer.write(b"CONNECT a:1 HTTP/1.1\r\n" + b"X: y\r\n" * 10_000)
    assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
    writer.close()
    monkeypatch.setattr(proxies, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", usual.port)
    writer.write(b"CONNECT")
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    "first",
    [
        "CONNECT other.internal:443 HTTP/1.1\r\n\r\n",
        "CONNECT other.internal:443 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET http://echo.internal/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST http://echo.internal/ HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "CONNECT other.internal:443 HTTP/1.1\r\nHost: echo.internal:PORT\r\nX: CONNECT echo.internal:PORT\r\n\r\n",
    ],
)
async def test_one_request_for_each_connection(usual: Net, first: str) -> None:
    """What comes behind a refused one is not looked at, whatever its headers say of its end."""
    second = f"CONNECT echo.internal:{usual.echo} HTTP/1.1\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", usual.port)
    writer.write((first.replace("PORT", str(usual.echo)) + second).encode())
    answer = await reader.read()
    assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 405 "))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert usual.dialled == []
    writer.close()
    await usual.idle()


async def test_connections_of_one_worker_are_bounded(usual: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "MAX_CONNECTIONS", 1)
    _, first, status = await usual.connect(f"echo.internal:{usual.echo}")
    assert status.startswith("200 ")
    reader, second = await asyncio.open_connection("127.0.0.1", usual.port)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    for writer in (first, second):
        writer.close()
    await usual.idle()


async def test_a_client_that_does_not_read_holds_up_itself_alone(usual: Net) -> None:
    _, writer, _ = await usual.connect(f"echo.internal:{usual.echo}")
    for _ in range(64):
        writer.write(b"x" * 65536)
    reader, other, _ = await usual.connect(f"echo.internal:{usual.echo}")
    other.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    for each in (writer, other):
        each.transport.abort()
    await usual.idle()


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[int, list[bytes], dict[str, int]]]:
    """An operator's proxy: its port, the heads that it was sent, and where names lead."""
    heads: list[bytes] = []
    places: dict[str, int] = {}
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        name = head.split(b" ")[1].rpartition(b":")[0].decode()
        if name not in places:
            writer.write(b"HTTP/1.1 403 Not here\r\n\r\n")
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", places[name])
        writer.write(b"HTTP/1.1 200 OK\r\nVia: here\r\n\r\n")
        far_writer.write(await reader.read(100))
        writer.write(await far_reader.read(100))
        for each in (writer, far_writer):
            each.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], heads, places
    server.close()
    await asyncio.wait(tasks, timeout=DEADLINE_SECONDS)


async def test_the_operators_proxy_is_asked_for_names_and_addresses_are_checked_here(
    upstream: tuple[int, list[bytes], dict[str, int]],
) -> None:
    port, heads, places = upstream

    async def knows_one(host: str) -> Sequence[str]:
        if host != "wiki.example.com":
            raise OSError("this machine does not know it")
        return ["10.0.0.7"]

    dialler = Dialler(knows_one, Upstream.parse(f"http://user:p%40ss@127.0.0.1:{port}"))
    async with net("net.connect:*.example.com:443", "net.connect:10.0.0.1:443", dialler=dialler) as made:
        places["api.example.com"] = made.echo
        reader, writer, status = await made.connect("api.example.com:443")
        assert status.startswith("200 ")
        writer.write(b"hello")
        assert await reader.read() == b"hello"
        assert b"Proxy-Authorization: Basic dXNlcjpwQHNz" in heads[0]
        writer.close()
        _, refused, status = await made.connect("10.0.0.1:443")
        assert status.startswith("502 ")  # named by its address, so let through to the proxy, which says no
        refused.close()
        _, private, status = await made.connect("wiki.example.com:443")
        assert status.startswith("403 ")
        private.close()
        await made.idle()
        assert len(heads) == 2
        with pytest.raises(HostRefused):
            await dialler.dial("10.0.0.1", 443, allow_private=False)


@pytest.mark.parametrize("url", ["", "proxy:3128", "ftp://proxy:1", "http://", "http://proxy:notaport", "http://[::1"])
def test_a_proxy_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UpstreamInvalid, match=r"http\.proxy"):
        Upstream.parse(url)
