"""What a worker is ordered with, as far as settings have a say in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from moorage.config.settings import Settings, SettingsInvalid, usable_cores
from moorage.supervisor.orders import collect_socket_folders, least_cpus


def test_a_plugin_may_use_half_of_the_cores_unless_an_operator_says_otherwise() -> None:
    assert Settings().most_cpus("churn") == usable_cores() / 2
    said = Settings.model_validate({"sandbox": {"cpus": 0.5}, "installations": {"churn": {"cpus": 3}, "top": {}}})
    assert [said.most_cpus(name) for name in ("churn", "top", "other")] == [3, 0.5, 0.5]


def test_a_manifest_can_only_ask_for_less() -> None:
    assert least_cpus(0.5, 2.0) == 0.5
    assert least_cpus(64.0, 2.0) == 2.0
    assert least_cpus(None, 2.0) == 2.0
    assert least_cpus(None, None) is None


def test_cores_have_to_be_some(tmp_path: Path) -> None:
    file = tmp_path / "moorage.toml"
    file.write_text("[sandbox]\ncpus = 0\n")
    with pytest.raises(SettingsInvalid, match=r"sandbox\.cpus: .*greater than 0"):
        Settings.load(file)


@pytest.mark.system
def test_what_a_killed_hosts_plugins_left_beside_their_sockets_does_not_keep_the_next_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deeper than Python recurses; at the lower levels a plugin's temporary files lie there."""
    folder = tmp_path / "w0123" / "tmp"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(tmp_path)
    collect_socket_folders(tmp_path)
    assert list(tmp_path.iterdir()) == []
