"""Connections that were granted by name: ordinary libraries work, and nothing else becomes reachable."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from plugin_projects import write_plugin

from moorage.app import Host
from moorage.config.services.http import HttpSettings
from moorage.config.settings import InstallationSettings, Settings

TIMEOUT_SECONDS = 40

PLUGIN = """
    import os, socket, ssl, urllib.request

    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def urllib_get(input: str) -> str:
        return urllib.request.urlopen(input, timeout=10).read().decode()

    @plugin.task
    def raw(input: list) -> str:
        host, port, text = input
        with socket.create_connection(("127.0.0.1", 3128), timeout=10) as proxied:
            proxied.sendall(text.encode("latin-1"))
            return proxied.recv(65536).decode("latin-1")

    @plugin.task
    def dial(input: list) -> str:
        try:
            socket.create_connection((input[0], input[1]), timeout=5).close()
        except OSError as error:
            return type(error).__name__
        return "connected"

    @plugin.task
    def hold(input: str) -> str:
        host, _, port = input.partition(":")
        with socket.create_connection(("127.0.0.1", 3128), timeout=20) as proxied:
            proxied.sendall(f"CONNECT {input} HTTP/1.1\\r\\n\\r\\n".encode())
            first = proxied.recv(100).decode()
            print("open", flush=True)
            return first.split()[1] + " " + repr(proxied.recv(10))

    @plugin.task
    def attempts() -> dict:
        tried = {}
        for name, make in {
            "listen": lambda: _listening(),
            "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
            "ipv6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
            "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
            "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
            "sctp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132),
            "mptcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262),
            "ulp": lambda: socket.socket().setsockopt(socket.IPPROTO_TCP, 31, b"tls"),
            "congestion": lambda: socket.socket().setsockopt(socket.IPPROTO_TCP, 13, b"vegas"),
            "transparent": lambda: socket.socket().setsockopt(socket.IPPROTO_IP, 19, 1),
            "metadata": lambda: socket.create_connection(("169.254.169.254", 80), timeout=2),
            "another port": lambda: socket.create_connection(("127.0.0.1", 80), timeout=2),
            "name": lambda: socket.create_connection(("localhost", 22), timeout=2),
            "nodelay": lambda: socket.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        }.items():
            try:
                make()
                tried[name] = "done"
            except OSError as error:
                tried[name] = type(error).__name__
        return tried

    def _listening():
        made = socket.socket()
        try:
            made.bind(("127.0.0.1", 0))
        finally:
            made.close()

    @plugin.task
    def environment() -> dict:
        return {name: value for name, value in os.environ.items() if "proxy" in name.lower() or "CERT" in name}
"""

REFUSED = {"PermissionError", "OSError", "ConnectionRefusedError", "gaierror"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def https(authority: Authority) -> AsyncIterator[int]:
    """A server for https://localhost:PORT that tells what it was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            body = b"secure " + head.split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server_context("localhost"))
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.fixture
async def silent() -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """A server that accepts and says nothing."""
    clients: list[asyncio.StreamWriter] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.append(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], clients
    for client in clients:
        client.transport.abort()
    server.close()
    await server.wait_closed()


@pytest.fixture(params=["zygote"])
async def host(request: pytest.FixtureRequest, settings: Settings, authority: Authority) -> AsyncIterator[Host]:
    changed = settings.model_copy(
        update={
            "http": HttpSettings(ca_file=authority.file),
            "installations": {"probe": InstallationSettings(start=request.param)},
        }
    )
    async with Host(changed) as opened, asyncio.timeout(TIMEOUT_SECONDS):
        yield opened


async def install(host: Host, folder: Path, *rights: str, **more: Any) -> None:
    await host.install(write_plugin(folder, PLUGIN, name="probe", required=rights, **more), grant_required=True)


@pytest.mark.parametrize("host", ["zygote", "fresh"], indirect=True)
async def test_https_works_through_the_proxy_variables(host: Host, tmp_path: Path, https: int) -> None:
    await install(host, tmp_path, f"net.connect:localhost:{https}")
    assert await host.call("probe", "urllib_get", f"https://localhost:{https}/hello") == "secure /hello"
    told = await host.call("probe", "environment")
    assert told["https_proxy"] == told["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    (entry,) = [one for one in (await host.installation("probe")).incarnations if one.ready_at is not None]
    assert entry.sandbox_level == "full"


async def test_nothing_else_becomes_reachable(host: Host, tmp_path: Path, https: int) -> None:
    await install(host, tmp_path, f"net.connect:localhost:{https}")
    tried = await host.call("probe", "attempts")
    assert tried.pop("nodelay") == "done"
    assert {name: error for name, error in tried.items() if error not in REFUSED} == {}
    assert await host.call("probe", "dial", ["127.0.0.1", https]) in REFUSED


async def test_without_the_right_there_is_no_network_at_all(host: Host, tmp_path: Path) -> None:
    await install(host, tmp_path)
    tried = await host.call("probe", "attempts")
    assert {name: error for name, error in tried.items() if error not in REFUSED} == {}
    assert await host.call("probe", "dial", ["127.0.0.1", 3128]) in REFUSED
    assert await host.call("probe", "environment") == {}


async def test_a_host_that_was_not_granted_is_refused_and_audited(host: Host, tmp_path: Path, https: int) -> None:
    await install(host, tmp_path, f"net.connect:localhost:{https}")
    answer = await host.call("probe", "raw", ["", 0, f"CONNECT localhost:{https + 1} HTTP/1.1\r\n\r\n"])
    assert answer.startswith("HTTP/1.1 403 ")
    assert f"moorage grant probe 'net.connect:localhost:{https + 1}'" in answer
    entries = await host.audit(installation="probe")
    assert any(f"net.connect:localhost:{https + 1}" in entry.capability for entry in entries)


async def test_a_connection_ends_when_its_right_is_taken_back(
    host: Host, tmp_path: Path, silent: tuple[int, list[asyncio.StreamWriter]]
) -> None:
    port, clients = silent
    await install(host, tmp_path, f"net.connect:localhost:{port}", "net.connect:localhost:1")
    holding = asyncio.create_task(host.call("probe", "hold", f"localhost:{port}"))
    while not clients:
        await asyncio.sleep(0.01)
    await host.revoke("probe", [f"net.connect:localhost:{port}"])
    assert await holding == "200 b''"


async def test_a_killed_worker_leaves_no_connection(
    host: Host, tmp_path: Path, silent: tuple[int, list[asyncio.StreamWriter]]
) -> None:
    port, clients = silent
    await install(host, tmp_path, f"net.connect:localhost:{port}")
    holding = asyncio.create_task(host.call("probe", "hold", f"localhost:{port}"))
    while not clients:
        await asyncio.sleep(0.01)
    await host.kill("probe")
    with pytest.raises(Exception, match=r"(?i)kill"):
        await holding
    transport = clients[0].transport
    while not transport.is_closing():
        clients[0].write(b"x")
        await asyncio.sleep(0.01)


LIBRARIES = """
    import asyncio

    import boto3, httpx, requests
    from botocore.config import Config as BotoConfig

    from moorage_sdk import Plugin

    plugin = Plugin()

    @plugin.task
    def execute(input: str) -> dict:
        s3 = boto3.client(
            "s3",
            endpoint_url=input,
            region_name="eu-central-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=BotoConfig(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )
        return {
            "boto3": s3.get_object(Bucket="bucket", Key="key")["Body"].read().decode(),
            "requests": requests.get(input + "/requests", timeout=10).text,
            "httpx": httpx.get(input + "/httpx", timeout=10).text,
            "httpx async": asyncio.run(_fetch(input + "/async")),
        }

    async def _fetch(url: str) -> str:
        async with httpx.AsyncClient() as client:
            return (await client.get(url, timeout=10)).text
"""


async def test_libraries_from_the_index_work_unchanged(host: Host, tmp_path: Path, https: int) -> None:
    project = write_plugin(
        tmp_path,
        LIBRARIES,
        name="libraries",
        required=[f"net.connect:localhost:{https}"],
        dependencies=["boto3", "requests", "httpx"],
    )
    await host.install(project, grant_required=True)
    assert await host.call("libraries", input=f"https://localhost:{https}") == {
        "boto3": "secure /bucket/key",
        "requests": "secure /requests",
        "httpx": "secure /httpx",
        "httpx async": "secure /async",
    }
