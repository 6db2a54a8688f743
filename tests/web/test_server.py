"""The API on a real Unix socket: who may reach it, and how it comes and goes."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import socket
import stat
import time

import httpx
import pytest

from moorage.web.api import create_api
from moorage.web.server import ApiServer, SocketTaken, SocketUnusable


async def test_only_the_owner_can_reach_it(served, socket_path):
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
    assert (await served.get("/system")).status_code == 200


async def test_a_folder_that_was_open_is_closed(app, socket_path):
    socket_path.parent.mkdir(mode=0o755)
    async with ApiServer(app, socket_path):
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700


async def test_the_audit_names_the_person_at_the_other_end(served, host):
    await served.post("/installations/churn/start")
    assert host.entries[-1].actor == getpass.getuser()


async def test_the_socket_is_gone_afterwards(app, socket_path):
    async with ApiServer(app, socket_path):
        assert socket_path.is_socket()
    assert not socket_path.exists()


@pytest.mark.system
async def test_it_may_be_served_again(app, socket_path):
    for _ in range(2):
        async with ApiServer(app, socket_path):
            pass


async def test_a_second_host_is_refused_and_the_first_goes_on(served, app, socket_path):
    with pytest.raises(SocketTaken, match=r"already answers at .*api\.sock"):
        async with ApiServer(app, socket_path):
            pass
    assert (await served.get("/system")).status_code == 200


async def test_a_socket_that_nobody_answers_on_is_replaced(app, socket_path):
    socket_path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(socket_path))
    async with ApiServer(app, socket_path):
        pass


async def test_a_file_in_the_way_is_left_alone(app, socket_path):
    socket_path.parent.mkdir(mode=0o700)
    socket_path.write_text("precious")
    with pytest.raises(SocketUnusable, match="no socket"):
        async with ApiServer(app, socket_path):
            pass
    assert socket_path.read_text() == "precious"


async def test_a_folder_that_is_a_link_is_refused(app, socket_path, tmp_path):
    socket_path.parent.symlink_to(tmp_path)
    with pytest.raises(SocketUnusable, match="not a folder of this user"):
        async with ApiServer(app, socket_path):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
async def test_another_user_s_folder_is_refused(app, socket_path):
    socket_path.parent.mkdir(mode=0o700)
    os.chown(socket_path.parent, 65_534, 65_534)
    with pytest.raises(SocketUnusable, match="not a folder of this user"):
        async with ApiServer(app, socket_path):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
async def test_another_user_is_not_answered_even_with_open_permissions(served, socket_path):
    socket_path.parent.chmod(0o755)
    socket_path.parent.parent.chmod(0o755)
    socket_path.chmod(0o666)

    def ask_as_nobody() -> int:
        child = os.fork()
        if child == 0:
            os.setresuid(65_534, 65_534, 65_534)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                try:
                    client.connect(str(socket_path))
                    client.sendall(b"GET /api/v1/system HTTP/1.1\r\nHost: host\r\n\r\n")
                    answered = bool(client.recv(1))
                except ConnectionError:
                    answered = False
            os._exit(1 if answered else 0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert await asyncio.to_thread(ask_as_nobody) == 0
    assert (await served.get("/system")).status_code == 200


async def test_a_path_that_is_too_long_is_a_sentence(app, tmp_path):
    with pytest.raises(SocketUnusable, match="Set run_dir to a short path"):
        async with ApiServer(app, tmp_path / ("x" * 120) / "api.sock"):
            pass


async def test_the_application_keeps_its_signals(app, socket_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with ApiServer(app, socket_path):
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_an_open_stream_does_not_delay_the_stop(host, socket_path):
    app = create_api(host)
    transport = httpx.AsyncHTTPTransport(uds=str(socket_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://host/api/v1", timeout=10) as client:
        server = ApiServer(app, socket_path)
        await server.__aenter__()
        async with client.stream("GET", "/logs/stream") as answer:
            lines = answer.aiter_lines()
            assert (await lines.__anext__()).startswith(":")
            before = time.monotonic()
            await server.__aexit__(None, None, None)
            assert time.monotonic() - before < 2
            assert [line async for line in lines if line] == []
    assert not host.followers


@pytest.mark.system
async def test_a_request_in_flight_is_answered_before_the_stop(app, host, socket_path):
    release = asyncio.Event()
    began = asyncio.Event()

    async def slow(_value):
        began.set()
        await release.wait()
        return "done"

    host.plugins["churn"].tasks["slow"] = slow
    transport = httpx.AsyncHTTPTransport(uds=str(socket_path))
    async with httpx.AsyncClient(transport=transport, base_url="http://host/api/v1", timeout=10) as client:
        async with ApiServer(app, socket_path):
            asked = asyncio.create_task(
                client.post("/installations/churn/executions", json={"task": "slow", "wait": True})
            )
            await asyncio.wait_for(began.wait(), 5)
            asyncio.get_running_loop().call_later(0.2, release.set)
        assert (await asked).json()["result"] == "done"
