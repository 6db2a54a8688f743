"""What was sent, done and recorded, compared."""

from __future__ import annotations

from collections import Counter
from typing import Any


def verdict(
    sent: set[str], entries: list[tuple[str, str, int]], executions: list[tuple[str, str, str, int]]
) -> dict[str, Any]:
    """What does not agree, counted. Pure."""
    states = {execution: state for execution, state, _, _ in executions}
    attempts = {execution: attempt for execution, _, _, attempt in executions}
    done = Counter(name for name, _, _ in entries)
    of_message: dict[str, set[str]] = {}
    for name, execution, _ in entries:
        of_message.setdefault(name, set()).add(execution)
    acted = {execution for _, execution, _ in entries}
    return {
        "messages lost": len(sent - done.keys()),
        "messages done twice": sum(count > 1 for count in done.values()),
        "messages with two executions": sum(len(each) > 1 for each in of_message.values()),
        "executions without one outcome": sum(state in ("queued", "running") for state in states.values()),
        "done and not succeeded": sum(states.get(one) != "succeeded" for one in acted),
        "succeeded and not done": sum(state == "succeeded" and one not in acted for one, state in states.items()),
        "attempts not marked": sum(attempt > attempts.get(one, 0) for _, one, attempt in entries),
    }
