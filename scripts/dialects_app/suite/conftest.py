"""SQLAlchemy's dialect suite against a dialect whose database is behind a broker in this process."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "tests" / "support")]
pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from exclusions import read, told_in  # noqa: E402 - found by the line above
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403 - how SQLAlchemy asks to be plugged in

DATABASE = os.environ["MOORAGE_DIALECTS_DATABASE"]
STOCK = bool(os.environ.get("MOORAGE_DIALECTS_STOCK"))


class Report:
    """Counts what became of the tests; written for the program that started this."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.excluded: Counter[str] = Counter()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            names = list(_names(item))
            for excluded in read(DATABASE)[1]:
                if any(map(excluded.matches, names)):
                    item.add_marker(pytest.mark.skip(reason=str(excluded)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.outcomes["failed" if report.when == "call" else "errors"] += 1
        elif report.skipped:
            self._count_skipped(report)
        elif report.when == "call":
            self.outcomes["passed"] += 1

    def pytest_sessionfinish(self) -> None:
        path = os.environ.get("MOORAGE_DIALECTS_REPORT")
        if path:
            counts = {"outcomes": self.outcomes, "excluded": self.excluded}
            Path(path).write_text(json.dumps(counts), encoding="utf-8")

    def _count_skipped(self, report: pytest.TestReport) -> None:
        told = told_in(str(report.longrepr))
        if told is None:
            self.outcomes["others"] += 1
        else:
            kind, name = told
            self.outcomes[kind] += 1
            self.excluded[f"{kind} {name}"] += 1


def _names(item: Any) -> Iterator[str]:
    """As ``excluded.toml`` writes them: a class, a test of a class, one of its parametrised forms."""
    cls = getattr(item.cls, "_sa_orig_cls_name", getattr(item.cls, "__name__", ""))
    yield cls
    yield f"{cls}::{item.originalname}"
    yield f"{cls}::{item.name}"


_configure_sqlalchemy = pytest_configure  # noqa: F405 - SQLAlchemy's


def pytest_configure(config: pytest.Config) -> None:
    """Before SQLAlchemy's plugin connects."""
    config.pluginmanager.register(Report())
    if not STOCK:
        from brokered import brokered  # noqa: PLC0415 - makes a host, which the stock dialect does without

        stack = contextlib.ExitStack()
        stack.enter_context(brokered(DATABASE))
        config.add_cleanup(stack.close)
    _configure_sqlalchemy(config)


_start_sqlalchemy = pytest_sessionstart  # noqa: F405 - SQLAlchemy's


def pytest_sessionstart(session: pytest.Session) -> None:
    import provision  # noqa: PLC0415 - SQLAlchemy's half of it wants its plugin configured

    provision.register()
    _start_sqlalchemy(session)
