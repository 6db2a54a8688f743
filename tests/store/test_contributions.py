"""What plugins bring, kept for when none of their workers runs."""

from __future__ import annotations

from moorage.models.event import HandlerView
from moorage.models.installation import Installation
from moorage.models.views import ContributionsView, TaskView
from moorage.store.store import Store

TOLD = ContributionsView(
    tasks=(TaskView("execute", "Counts users", {"type": "null"}, {"properties": {"users": {"type": "integer"}}}),),
    handlers=(HandlerView("playing", "track.*", False, {"type": "object"}),),
    hooks=("on_load", "health"),
)


async def test_what_was_told_counts_for_that_code(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    assert await store.contributions.of("churn", "abc") is None
    await store.contributions.put("churn", "abc", TOLD)
    await store.contributions.put("churn", "abc", TOLD)
    assert await store.contributions.of("churn", "abc") == TOLD
    assert await store.contributions.of("churn", "def") is None
    await store.contributions.put("churn", "def", ContributionsView())
    assert await store.contributions.of("churn", "def") == ContributionsView()
    assert await store.contributions.of("churn", "abc") is None


async def test_it_goes_with_its_installation(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    await store.contributions.put("churn", "abc", TOLD)
    await store.installations.remove("churn")
    assert await store.contributions.of("churn", "abc") is None
    await store.contributions.put("churn", "abc", TOLD)
    assert await store.contributions.of("churn", "abc") is None
