"""The command itself: its table, its errors, how it finds the host, and what it costs to start."""

from __future__ import annotations

import http.server
import inspect
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from moorage import __version__
from moorage.cli import client, main
from moorage.cli.main import COMMANDS, load_command
from moorage.errors import ExitCode

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name):
    command = load_command(name)
    assert inspect.cleandoc(command.callback.__doc__).splitlines()[0] == COMMANDS[name].summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name):
    _, _, section = DOCS.read_text().partition(f"## moorage {name}\n")
    section = section.partition("\n## ")[0]
    assert section, f"docs/cli.md has no section on {name}"
    options = [
        option for parameter in load_command(name).params for option in parameter.opts if option.startswith("--")
    ]
    common = {"--config", "--socket", "--json", "--help"}
    assert [option for option in options if option not in common and f"`{option}" not in section] == []


def test_help_lists_all_commands():
    text = CliRunner().invoke(main.app, ["--help"]).stdout
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name):
    result = CliRunner().invoke(main.app, [name, "--help"])
    assert result.exit_code == 0
    assert COMMANDS[name].summary.split()[0] in result.stdout


def test_version():
    assert CliRunner().invoke(main.app, ["--version"]).stdout == f"moorage {__version__}\n"


def test_an_unknown_command_gets_the_nearest_one():
    result = CliRunner().invoke(main.app, ["instal"])
    assert result.exit_code == ExitCode.USAGE
    assert "install" in result.stderr


@pytest.mark.system
def test_help_and_new_load_neither_client_nor_host():
    code = (
        "import sys; from moorage.cli import main; main.load_command('new');"
        "main.app(['--help'], standalone_mode=False);"
        "print([m for m in ('httpx', 'fastapi', 'sqlalchemy', 'uvicorn', 'grpc') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_a_host_every_command_says_how_to_start_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MOORAGE_SOCKET", str(tmp_path / "api.sock"))
    for arguments in (["ls"], ["run", "churn"], ["logs", "-f"], ["install", "."], ["revoke", "churn", "sql.read:a"]):
        result = CliRunner().invoke(main.app, arguments)
        assert result.exit_code == ExitCode.UNAVAILABLE, arguments
        assert result.stderr == f"No host answers at {tmp_path / 'api.sock'}; start one with: moorage serve\n"


def test_something_else_that_answers_is_no_host():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_arguments):
            pass

        def address_string(self):
            return "local"

    with tempfile.TemporaryDirectory(prefix="mr-") as folder:
        with socketserver.ThreadingUnixStreamServer(f"{folder}/s", Handler) as other:
            thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            result = CliRunner().invoke(main.app, ["--socket", f"{folder}/s", "ls"])
            other.shutdown()
            thread.join(5)
        assert result.exit_code == ExitCode.FAILED
        assert "is no Moorage host (403)" in result.stderr


@pytest.mark.parametrize(("status", "said"), [(200, "[]"), (200, "hello"), (404, "[]"), (404, '{"a": 1}'), (404, "")])
def test_what_does_not_speak_as_a_host_does_is_no_host(status, said):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_arguments):
            pass

    with (
        tempfile.TemporaryDirectory(prefix="mr-") as folder,
        socketserver.ThreadingUnixStreamServer(f"{folder}/s", Handler) as other,
    ):
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        result = CliRunner().invoke(main.app, ["--socket", f"{folder}/s", "show", "churn"])
        other.shutdown()
        thread.join(5)
    assert result.exit_code in (ExitCode.FAILED, ExitCode.UNAVAILABLE)
    assert "is no Moorage host" in result.stderr


def test_a_host_may_close_a_connection_while_a_person_thinks():
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            self.close_connection = True

        def log_message(self, *_arguments):
            pass

    with (
        tempfile.TemporaryDirectory(prefix="mr-") as folder,
        socketserver.ThreadingUnixStreamServer(f"{folder}/s", Handler) as host,
    ):
        thread = threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        with client.ApiClient(Path(f"{folder}/s")) as api:
            answers = [api.get("/system"), api.get("/system")]
        host.shutdown()
        thread.join(5)
    assert answers == [{}, {}]


def test_whoever_waits_for_a_host_that_hangs_is_told(monkeypatch, capsys):
    """Its socket takes connections as long as the kernel has room for them."""
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.05)
    with tempfile.TemporaryDirectory(prefix="mr-") as folder, socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(f"{folder}/s")
        hanging.listen()
        asked = threading.Thread(
            target=CliRunner().invoke, args=[main.app, ["--socket", f"{folder}/s", "kill", "churn"]]
        )
        told = threading.Event()
        monkeypatch.setattr(client, "note", lambda sentence: "--direct" in sentence and told.set())
        asked.start()
        peer, _ = hanging.accept()
        assert told.wait(5)
        peer.close()
        asked.join(5)
        assert not asked.is_alive()


@pytest.fixture
def configured(tmp_path, monkeypatch, server):
    """A configuration whose run folder is the server's."""
    monkeypatch.delenv("MOORAGE_SOCKET", raising=False)
    monkeypatch.delenv("MOORAGE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    text = f'state_dir = "state"\nrun_dir = "{server.socket.parent}"\n'
    (tmp_path / "here.toml").write_text(text)
    return tmp_path


def test_the_configuration_leads_to_the_socket(configured, host, monkeypatch):
    def ends_with(*arguments):
        return CliRunner().invoke(main.app, arguments).exit_code

    assert ends_with("ls") == ExitCode.UNAVAILABLE
    assert ends_with("ls", "--config", "here.toml") == 0
    assert ends_with("--config", "here.toml", "ls") == 0
    assert ends_with("--config", "here.toml", "ls", "--socket", "/nonexistent") == ExitCode.UNAVAILABLE
    monkeypatch.setenv("MOORAGE_CONFIG", "here.toml")
    assert ends_with("ls") == 0
    monkeypatch.delenv("MOORAGE_CONFIG")
    (configured / "here.toml").rename("moorage.toml")
    assert ends_with("ls") == 0


def test_a_configuration_that_is_wrong_is_a_sentence(tmp_path):
    (tmp_path / "wrong.toml").write_text("state_dri = 'x'\n")
    result = CliRunner().invoke(main.app, ["ls", "--config", str(tmp_path / "wrong.toml")])
    assert result.exit_code == ExitCode.CONFIG
    assert "did you mean 'state_dir'?" in result.stderr


def test_a_mistake_of_ours_is_no_traceback(monkeypatch, capsys):
    def broken(_name):
        raise ZeroDivisionError("\x1b[31mred")

    monkeypatch.setattr(main, "load_command", broken)
    monkeypatch.setattr(sys, "argv", ["moorage", "ls"])
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == ExitCode.INTERNAL
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "Traceback" not in said
    assert "\x1b" not in said
    monkeypatch.setenv("MOORAGE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main.main()
