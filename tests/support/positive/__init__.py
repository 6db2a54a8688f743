"""The positive suite: ordinary work that the sandbox must not stand in the way of. Copied beside a worker's SDK."""

from __future__ import annotations

import importlib


def attempt(module, function):
    """Returns when the work came to its end."""
    getattr(importlib.import_module(f"positive.{module}"), function)()


def attempt_all(module):
    """All work of a module, one piece after another. Returns why each did not come to its end; "" if it did."""
    return {f"{module}.{work.__name__}": _problem(work) for work in importlib.import_module(f"positive.{module}").WORK}


def _problem(work):
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
