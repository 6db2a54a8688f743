"""``moorage storage`` and ``moorage remove``."""

from __future__ import annotations

import pytest

from moorage.cli.commands import storage as commands
from moorage.models.storage import StorageUse


def test_usage(moorage, host):
    assert "3 MiB of 64 MiB, 12 of 10,000 files" in moorage("storage", "churn").stdout
    host.storage.use = StorageUse(0, 0, 0, 0, "it holds a folder that the host may not look into")
    assert "More than could be counted" in moorage("storage", "churn", "usage").stdout
    assert '"limit_files": 0' in moorage("storage", "churn", "--json").stdout


def test_snapshots_are_taken_listed_and_brought_back(moorage, host):
    assert "There are no snapshots." in moorage("storage", "churn", "snapshots").stdout
    assert "s-1 is taken: 3 MiB" in moorage("storage", "churn", "snapshot").stdout
    moorage("storage", "churn", "snapshot")
    assert "s-2" in moorage("storage", "churn", "snapshots").stdout
    assert "s-1 is restored" in moorage("storage", "churn", "restore", "s-1").stdout
    moorage("storage", "churn", "restore")
    assert host.storage.restored == ["s-1", "s-2"]
    assert moorage("storage", "churn", "restore", "s-9").exit_code == 66


def test_an_export_is_a_file_that_was_not_there(moorage, tmp_path):
    assert "churn.tar" in moorage("storage", "churn", "export").stdout
    assert (tmp_path / "churn.tar").read_bytes() == b"tarball"
    again = moorage("storage", "churn", "export")
    assert again.exit_code == 2
    assert "is there already" in again.output
    nowhere = moorage("storage", "churn", "export", "-o", tmp_path / "nowhere" / "x.tar")
    assert nowhere.exit_code == 2
    # Its path may be so long that the sentence is wrapped, in a frame.
    assert "cannot be written" in " ".join(nowhere.output.replace("│", " ").split())
    assert "mistake in Moorage" not in nowhere.output
    moorage("storage", "churn", "export", "-o", "other.tar")
    assert (tmp_path / "other.tar").read_bytes() == b"tarball"
    assert moorage("storage", "churn", "export", "-o", "-").stdout_bytes == b"tarball"
    assert moorage("storage", "nobody", "export").exit_code == 66
    assert not (tmp_path / "nobody.tar").exists()


def test_data_is_deleted(moorage, host):
    assert "is deleted" in moorage("storage", "churn", "delete").stdout
    assert host.storage.use.files == 0


@pytest.mark.parametrize(("reply", "gone"), [("n\n", False), ("y\n", True)])
def test_a_person_is_asked_before_data_is_lost(moorage, host, monkeypatch, reply, gone):
    monkeypatch.setattr(commands, "is_asked", lambda: True)
    moorage("storage", "churn", "delete", input=reply)
    assert (host.storage.use.files == 0) is gone


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("storage", "churn", "restore", "s-9"), 66),
        (("storage", "chrun", "restore"), 66),
        (("storage", "chrun", "delete"), 66),
        (("remove", "chrun"), 66),
    ],
)
def test_nobody_is_asked_about_what_is_not_there(moorage, host, monkeypatch, words, code):
    monkeypatch.setattr(commands, "is_asked", lambda: True)
    refused = moorage(*words)
    assert refused.exit_code == code
    assert "[y/N]" not in refused.output
    assert "There is no" in refused.stderr or "no snapshot" in refused.stderr


def test_the_question_names_the_snapshot(moorage, host, monkeypatch):
    moorage("storage", "churn", "snapshot")
    moorage("storage", "churn", "snapshot")
    monkeypatch.setattr(commands, "is_asked", lambda: True)
    asked = moorage("storage", "churn", "restore", "s-1", input="n\n")
    assert "What churn has written since 2026-11-20 12:00:00 is lost. Restore s-1? [y/N]" in asked.output
    assert host.storage.restored == []
    moorage("storage", "churn", "restore", input="y\n")
    assert host.storage.restored == ["s-2"]


def test_removal_wants_a_word_on_the_data(moorage, host):
    refused = moorage("remove", "churn")
    assert refused.exit_code == 1
    assert "data of its own" in refused.output
    assert "churn" in host.plugins
    assert "churn is removed." in moorage("remove", "churn", "--data", "keep").stdout
    assert "churn" not in host.plugins
    assert moorage("remove", "churn", "--data", "keep").exit_code == 66


def test_a_person_is_asked_what_becomes_of_the_data(moorage, host, monkeypatch):
    monkeypatch.setattr(commands, "is_asked", lambda: True)
    assert moorage("remove", "churn", input="n\n").exit_code == 1
    assert "churn" in host.plugins
    done = moorage("remove", "churn", "--json", input="y\ny\n")
    assert '"data": "delete"' in done.stdout


@pytest.mark.parametrize(
    "words", [("usage", "s-1"), ("-o", "x"), ("snapshot", "-o", "x"), ("forget",), ("export", "s-1")]
)
def test_a_wrong_command_line_changes_nothing(moorage, host, words):
    assert moorage("storage", "churn", *words).exit_code == 2
    assert not host.storage.taken


def test_an_action_that_is_none_gets_those_that_are(moorage):
    wrong = moorage("storage", "churn", "snap")
    assert wrong.exit_code == 2
    assert "Invalid value for 'ACTION': 'snap' is not one of 'usage', 'snapshots'" in wrong.output
