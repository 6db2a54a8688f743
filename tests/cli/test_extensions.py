"""``moorage extensions``."""

from __future__ import annotations

import json


def test_extension_points_are_listed_with_who_implements_them(moorage):
    shown = moorage("extensions").stdout

    assert "shop.discount version 2, also called: 1" in shown
    assert ["churn", "2", "current", "12", "2", "discount,", "label"] in [line.split() for line in shown.splitlines()]
    assert "geo-tag: It implements version 1." in shown
    assert "last failure" in shown
    assert "shop.unheard version 1\nmethods: hear\nNobody implements it.\n" in shown
    assert len(json.loads(moorage("extensions", "--json").stdout)["items"]) == 2


def test_an_installation_is_shown_with_what_it_implements(moorage):
    shown = moorage("show", "geo-tag").stdout

    assert ["shop.discount", "1", "old", "0", "0", "discount"] in [line.split() for line in shown.splitlines()]
    assert "geo-tag: It implements version 1." in shown
    assert "shop.discount" not in moorage("show", "mail").stdout
