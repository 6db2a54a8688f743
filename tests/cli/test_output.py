"""How values are written for people, and what the start screen says."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moorage.cli import output
from moorage.cli.output import duration, short_time, size, stated, table
from moorage.cli.start_screen import forgotten_at_exit, print_host, print_ready, print_sandbox
from moorage.config.services.kafka import KafkaBackend
from moorage.config.services.sql import SqlBackend
from moorage.config.settings import Settings
from moorage_sandbox.report import MissingLayer, SandboxReport


@pytest.mark.parametrize(
    ("length", "words"),
    [(0.314, "0.31 s"), (12.4, "12 s"), (60, "1 min"), (200, "3 min 20 s"), (7_500, "2 h 5 min"), (None, ""),
     (timedelta(minutes=5), "5 min"), (0, "0.00 s"), (3_600, "1 h")],
)  # fmt: skip
def test_durations(length, words):
    assert duration(length) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (1000, "1000 bytes"), (2**20 * 256, "256 MiB"), (2**50, "1024 TiB")]
)
def test_sizes(count, words):
    assert size(count) == words


def test_a_list_names_the_date_of_other_days_only():
    now = datetime.now(UTC)
    assert short_time(now) == now.astimezone().strftime("%H:%M:%S")
    assert short_time(datetime(2020, 2, 3, 12, 0, 0).astimezone()) == "2020-02-03 12:00"
    assert short_time(None) == ""


def test_a_word_that_people_copy_is_the_last_to_fold(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "30")
    row = ["e-1k0pc95mmf3j5d6e", "an-installation-of-some-length"]
    table(["EXECUTION", "INSTALLATION"], [row], whole=(0,))
    assert row[0] in capsys.readouterr().out
    table(["EXECUTION", "INSTALLATION"], [row])
    assert row[0] not in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", [True, False])
def test_colours_are_for_terminals_that_want_them(monkeypatch, no_color):
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    terminal, pipe = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    output.say("ready", "red")
    monkeypatch.setattr(sys, "stdout", pipe)
    output.say("ready", "red")
    assert ("31m" in terminal.getvalue()) is not no_color
    assert pipe.getvalue() == "ready\n"


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=0.2), "1 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(seconds=90), "90 s"),
        (timedelta(minutes=90), "90 min"),
        (timedelta(hours=30), "30 h"),
        (timedelta(days=40), "40 d"),
    ],
)
def test_a_length_in_one_unit(length, said):
    assert output.roughly(length) == said


def test_what_is_forgotten_at_exit():
    settings = Settings(
        state_dir=Path("/state"),
        sql={"main": SqlBackend(url="sqlite:////app.db"), "scratch": SqlBackend(url="sqlite://")},
        kafka={"main": KafkaBackend(), "real": KafkaBackend(bootstrap_servers="kafka:9092")},
    )
    kafka, redis, servicebus, sql = forgotten_at_exit(settings)
    assert 'Kafka "main" is a mock cluster' in kafka
    assert "kafka.main.bootstrap_servers" in kafka
    assert 'Redis "main" is a server inside this host' in redis
    assert "servicebus.main.connection_string" in servicebus
    assert 'SQL "scratch" is a database in memory' in sql


def test_the_start_screen_says_where_embedded_servers_and_webhooks_are(capsys):
    settings = Settings(state_dir=Path("/state"), webhooks={"listen": "127.0.0.1:8780"})
    print_ready(Path("/run/api.sock"), settings, ["churn"], {"main": "127.0.0.1:4242"})
    said = capsys.readouterr().out
    assert "webhooks  http://127.0.0.1:8780" in said
    assert 'Kafka "main" is a mock cluster inside this host, at 127.0.0.1:4242: its topics are forgotten' in said
    print_ready(Path("/run/api.sock"), Settings(state_dir=Path("/state")), ["churn"])
    assert "webhooks" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 KiB"), (43_000, "42 KiB"), (3 * 2**20, "3 MiB"), (3_355_444, "3.2 MiB")]
)
def test_bytes_as_people_read_them(count, said):
    assert output.amount(count) == said


def test_the_start_screen_says_aloud_when_the_sandbox_is_too_weak(capsys):
    missing = MissingLayer("mount", 1, "unshare answered EPERM.", "Files are within reach.", "Run it as root.")
    print_sandbox(SandboxReport("none", {}, (missing,)), "full")
    said = capsys.readouterr().out
    assert "Plugins do not start here: full is required" in said
    assert "unshare answered EPERM. Files are within reach. Run it as root." in said
    print_sandbox(SandboxReport("full", {}), "full")
    assert capsys.readouterr().out.split() == ["sandbox", "full"]


def test_a_developer_is_told_which_database_to_fill(capsys, tmp_path):
    print_host(Settings(state_dir=tmp_path).for_development(tmp_path / "churn"))
    developing = capsys.readouterr().out
    assert "main.db: make the application's tables in it" in developing
    assert "folders are scanned" not in developing
    print_host(Settings(state_dir=tmp_path))
    assert "no folders are scanned" in (serving := capsys.readouterr().out)
    assert "main.db" not in serving


def test_the_start_screen_says_what_to_try(capsys):
    settings = Settings(state_dir=Path("/state"), kafka={})
    print_ready(Path("/run/api.sock"), settings, ["churn"])
    said = capsys.readouterr().out
    assert "Ready with 1 installation." in said
    assert "moorage run churn" in said
    print_ready(Path("/run/api.sock"), settings, [])
    assert "moorage new NAME" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reason", "words"),
    [("", "churn is stopped"), ("It crashed.", "churn is stopped: It crashed."),
     ("churn does not run: it is full.", "churn is stopped. churn does not run: it is full.")],
)  # fmt: skip
def test_a_state_and_its_reason(reason, words):
    assert stated("churn is stopped", reason) == words
