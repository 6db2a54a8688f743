"""What hostile code tries. Each action returns when it got through, and raises what stopped it.

This package is copied beside the worker's SDK and runs inside workers, on every Python that plugins may run on; and as
a plain process of an ordinary user, which is the control.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict

from attacks.world import World

MODULES = ("files", "programs", "processes", "kernel", "network", "bounds", "leaks")


def known() -> Dict[str, Callable[[World], Any]]:
    """Every action by its name."""
    found: Dict[str, Callable[[World], Any]] = {}
    for name in MODULES:
        module = importlib.import_module(f"attacks.{name}")
        found.update({key: value for key, value in vars(module).items() if getattr(value, "is_action", False)})
    return found


def attempt(name: str, facts: Dict[str, Any]) -> Any:
    return known()[name](World(facts))
