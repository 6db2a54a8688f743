"""``moorage sql``."""

from __future__ import annotations

import json


def test_databases_are_listed_with_what_keeps_plugins_apart(moorage):
    shown = moorage("sql").stdout

    assert "main" in shown
    assert "sqlite" in shown
    assert "provided" in shown
    assert [each["name"] for each in json.loads(moorage("sql", "--json").stdout)["items"]] == ["main", "shop"]
    assert [each["name"] for each in json.loads(moorage("sql", "--backend", "shop", "--json").stdout)["items"]] == [
        "shop"
    ]


def test_the_plan_is_the_script_and_nothing_else(moorage):
    script = 'BEGIN;\nCREATE ROLE "moorage_churn" LOGIN;\nCOMMIT;\n'

    assert moorage("sql", "plan").stdout == script
    assert moorage("sql", "plan", "--backend", "shop").stdout == script
    assert json.loads(moorage("sql", "plan", "--json").stdout) == {"items": [{"backend": "shop", "script": script}]}


def test_where_there_is_nothing_to_run(moorage):
    done = moorage("sql", "plan", "--backend", "main")

    assert done.exit_code == 0
    assert done.stdout == ""
    assert "nothing to run" in done.stderr


def test_a_database_that_is_not_there(moorage):
    assert moorage("sql", "plan", "--backend", "nowhere").exit_code == 66
    listed = moorage("sql", "--backend", "nowhere")
    assert listed.exit_code == 2
    assert "there is no database 'nowhere'; there are:" in listed.output
