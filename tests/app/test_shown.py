"""How an installation is shown."""

from __future__ import annotations

from moorage.app.shown import single_fences
from moorage.config.services.sql import SqlMode
from moorage.models.views import GrantView

FENCES = {"main": SqlMode.SINGLE_FENCE, "shop": SqlMode.SINGLE_FENCE, "safe": SqlMode.MANAGED}


def granted(*capabilities: str, is_granted: bool = True) -> list[GrantView]:
    return [GrantView(text, "", required=False, granted=is_granted) for text in capabilities]


def test_databases_with_one_fence_alone_are_named_for_those_with_a_right_to_them():
    assert single_fences(granted("sql.read:users", "kafka.produce:shop/x"), FENCES) == ("main",)
    assert single_fences(granted("sql.write:shop/plays(rating)", "sql.read:safe/x"), FENCES) == ("shop",)
    assert single_fences(granted("sql.define:**/**"), FENCES) == ("main", "shop")
    assert single_fences(granted("sql.read:users", is_granted=False), FENCES) == ()
    assert single_fences(granted("sql.read:safe/x", "kafka.produce:orders"), FENCES) == ()
