"""``moorage retention``."""

from __future__ import annotations

import json


def test_what_is_kept_is_shown(moorage):
    shown = moorage("retention").stdout

    assert "1,200" in shown
    assert "90 days, 10,000 of each installation" in shown
    assert "for ever" in shown
    assert [each["kind"] for each in json.loads(moorage("retention", "--json").stdout)["items"]] == [
        "executions",
        "logs",
    ]


def test_it_is_let_go_of_now(moorage):
    assert moorage("retention", "--now").stdout.strip() == "Deleted for their age or number: 3 executions."
    assert moorage("retention", "--now").stdout.strip() == "Nothing was too old or too much."
