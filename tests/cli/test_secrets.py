"""``moorage secrets``: values come from standard input or a prompt, and nothing prints them."""

from __future__ import annotations

import pytest

from moorage.models.secret import SecretOrigin


def test_a_secret_is_set_from_standard_input_listed_and_deleted(moorage, host):
    done = moorage("secrets", "set", "churn", "LASTFM_KEY", input="hunter22\n")
    assert done.exit_code == 0
    assert "LASTFM_KEY is set for churn." in done.stdout
    assert host.secrets.values == {("churn", "LASTFM_KEY"): "hunter22"}

    listed = moorage("secrets", "list", "churn")
    assert "LASTFM_KEY" in listed.stdout
    assert "dana" in listed.stdout
    assert "hunter22" not in done.output + listed.output
    assert "hunter22" not in moorage("secrets", "list", "churn", "--json").output

    assert moorage("secrets", "delete", "churn", "LASTFM_KEY").exit_code == 0
    assert host.secrets.values == {}
    assert "There are no secrets." in moorage("secrets", "list", "churn").stdout
    assert moorage("secrets", "delete", "churn", "LASTFM_KEY").exit_code == 66


def test_one_line_end_is_not_part_of_a_value(moorage, host):
    moorage("secrets", "set", "churn", "KEY", input="two\nlines\n\n")
    assert host.secrets.values == {("churn", "KEY"): "two\nlines\n"}


def test_a_shared_one_has_no_name(moorage, host):
    done = moorage("secrets", "set", "--shared", "KEY", input="hunter22")
    assert "shared_secrets" in done.stderr
    assert host.secrets.values == {("", "KEY"): "hunter22"}
    moorage("secrets", "set", "churn", "OTHER", input="hunter22")
    assert "OTHER" not in moorage("secrets", "list", "--shared").stdout
    every = moorage("secrets", "list").stdout
    assert "(shared)" in every
    assert "OTHER" in every
    assert moorage("secrets", "delete", "--shared", "KEY").exit_code == 0


def test_short_ones_unopenable_ones_and_those_of_a_plugin_are_told(moorage, host):
    assert "not masked" in moorage("secrets", "set", "churn", "KEY", input="abc").stderr
    host.secrets.origins["churn", "KEY"] = SecretOrigin.PLUGIN
    host.secrets.problem = "The secret KEY cannot be opened."
    listed = moorage("secrets", "list", "churn").stdout
    assert "the plugin (dana)" in listed
    assert "cannot be opened" in listed


def test_rotate(moorage, host):
    moorage("secrets", "set", "churn", "KEY", input="hunter22")
    assert "1 secret is sealed with a new key" in moorage("secrets", "rotate").stdout
    assert moorage("secrets", "rotate", "--json").stdout.strip() == '{\n  "sealed": 1\n}'
    assert host.secrets.rotations == 2


@pytest.mark.parametrize(
    "words",
    [
        ("set",),
        ("set", "churn"),
        ("set", "churn", "KEY", "value"),
        ("set", "--shared", "churn", "KEY"),
        ("delete", "churn"),
        ("list", "churn", "KEY"),
        ("rotate", "churn"),
        ("show", "churn"),
    ],
)
def test_a_wrong_command_line_changes_nothing(moorage, host, words):
    assert moorage("secrets", *words, input="hunter22").exit_code == 2
    assert host.secrets.values == {}


def test_a_wrong_name_gets_the_nearest_one(moorage):
    assert "Did you mean churn?" in moorage("secrets", "set", "chrun", "KEY", input="x").output
