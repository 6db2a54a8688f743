"""The page about extension points: its project is assembled from the page, its tests run, and types are known."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from virtualenvs import ROOT

from moorage.app import Host, Settings
from moorage.models.extensions import FailureKind, Standing

PAGE = (ROOT / "docs" / "extension-points.md").read_text()

_BLOCK = re.compile(r"```\w+ title=\"([^\"]+)\"\n(.*?)```", re.DOTALL)

#: What a type checker has to say of the application's calls.
CHECKED = """
from shop_contracts import Basket, Discount
from typing import List, Optional, assert_type
from moorage.app import Answers, FirstAnswer, Host


async def right(host: Host, basket: Basket) -> None:
    assert_type(await host.call_all(Discount.discount, basket), Answers[Optional[int]])
    assert_type((await host.call_all(Discount.discount, basket, "X", start=False)).values, List[Optional[int]])
    assert_type(await host.call_all(Discount.label), Answers[str])
    assert_type(await host.call_first(Discount.label), FirstAnswer[str])
    assert_type(await host.call_one("churn", Discount.discount, basket), Optional[int])
    assert_type(await host.call_one("churn", Discount.label), str)


async def wrong(host: Host, basket: Basket) -> None:
    await host.call_all(Discount.discount, "ada")
    await host.call_all(Discount.discount)
    await host.call_one("churn", Discount.label, basket)
    await host.call_first(Discount.discount, basket, 5)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, code in _BLOCK.findall(PAGE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    return tmp_path


@pytest.mark.system
def test_the_plugin_on_the_page_passes_its_own_tests(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_host_takes_the_extension_point_on_the_page(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project)
    spec = importlib.util.spec_from_file_location("page_shop_app", project / "shop_app.py")
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(app)
        assert isinstance(app.make_host(Settings.model_validate({"state_dir": project / "state"})), Host)
    finally:
        sys.modules.pop("shop_contracts", None)


def test_every_kind_of_failure_is_named() -> None:
    assert {kind for kind in FailureKind if f"`{kind}`" not in PAGE} == set()
    assert Standing.NOT_LOADED in PAGE


@pytest.mark.system
@pytest.mark.timeout(300)
def test_type_checkers_know_what_is_called_and_answered(project: Path) -> None:
    (project / "calls.py").write_text(CHECKED)
    path = os.pathsep.join(str(ROOT / part) for part in ("proto", "sdk", "sandbox", "host"))
    checked = ("shop_contracts.py", "shop_app.py", "regulars.py", "calls.py")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", project / "c", *checked],
        cwd=project,
        env={**os.environ, "MYPYPATH": path},
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith(checked)]
    first = CHECKED.splitlines().index("async def wrong(host: Host, basket: Basket) -> None:") + 2
    lines = {int(line.split(":")[1]) for line in found}
    assert lines == set(range(first, first + 4)), done.stdout
    assert all(line.startswith("calls.py") for line in found)
