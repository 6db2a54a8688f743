"""``moorage log-level``."""

from __future__ import annotations

from datetime import timedelta

import pytest


def test_it_is_set_shown_and_taken_back(moorage, host):
    assert "INFO, as by default" in moorage("log-level", "churn").stdout
    done = moorage("log-level", "churn", "debug", "--logger", "churn.parser", "--for", "10min")
    assert done.exit_code == 0, done.output
    assert "churn.parser" in done.stdout
    assert "DEBUG" in done.stdout
    assert "12:10:00" in done.stdout
    moorage("log-level", "churn", "15")
    assert {logger: each.level for logger, each in host.log_levels.settings.items()} == {"churn.parser": 10, "": 15}
    assert host.log_levels.settings["churn.parser"].until - host.log_levels.settings[""].set_at == timedelta(minutes=10)
    moorage("log-level", "churn", "--reset", "--logger", "churn.parser")
    assert set(host.log_levels.settings) == {""}
    assert '"items": []' in moorage("log-level", "churn", "--reset", "--json").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("LOUD",),
        ("DEBUG", "--for", "soon"),
        ("--for", "10min"),
        ("--logger", "a"),
        ("DEBUG", "--reset"),
        ("--reset", "--for", "1h"),
    ],
)
def test_a_wrong_command_line_changes_nothing(moorage, host, words):
    assert moorage("log-level", "churn", *words).exit_code == 2
    assert host.log_levels.settings == {}
