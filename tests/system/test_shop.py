"""The sample application with services of its own, started for real, with its plugin in a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
from virtualenvs import ROOT, build_wheels

pytestmark = pytest.mark.timeout(300)

SHOP = ROOT / "docs" / "examples" / "shop"
PLUGINS = {"restock": "4 passed", "regulars": "2 passed"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Iterator[httpx.Client]:
    """Its HTTP interface. Its settings are those of the example, with folders of the test's own."""
    folder = tmp_path_factory.mktemp("shop")
    wheels = build_wheels([SHOP / "contracts"], folder / "wheels")
    state = folder / "state"
    state.mkdir(mode=0o700)
    for name in ("runtimes", "sdk"):
        (state / name).symlink_to(built / name)
    with tempfile.TemporaryDirectory(prefix="mrg-") as run_dir:
        settings = (SHOP / "moorage.toml").read_text()
        for there, here in ((".moorage/state", state), (".moorage/run", run_dir), (".moorage/wheels", wheels)):
            settings = settings.replace(f'"{there}"', f'"{here}"')
        for name in PLUGINS:
            settings = settings.replace(f'"{name}"', f'"{SHOP / name}"')
        (folder / "moorage.toml").write_text(settings)
        path = os.pathsep.join(str(SHOP / part) for part in (".", "contracts"))
        process = subprocess.Popen(
            [sys.executable, "-m", "shop_app", folder / "moorage.toml", "0"],
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        said: list[str] = []
        try:
            address = _address(process.stdout, said)
            reader = threading.Thread(target=said.extend, args=(process.stdout,))
            reader.start()
            with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
                yield client
        finally:
            process.terminate()
            process.wait(60)
        reader.join(60)
        process.stdout.close()


def _address(output: Iterable[str], said: list[str]) -> str:
    """Where it listens, once it does: the plugin is installed by then."""
    for line in output:
        said.append(line)
        _, found, rest = line.partition("Uvicorn running on ")
        if found:
            return rest.split()[0]
    raise AssertionError(f"the shop has not started: {''.join(said)}")


def _order(shop: httpx.Client, customer: str, sku: str, count: int) -> httpx.Response:
    return shop.post("/orders", json={"customer": customer, "sku": sku, "count": count})


def _grant(shop: httpx.Client, *rights: str, name: str = "restock") -> None:
    for right in rights:
        shop.post(f"/plugins/{name}/rights", json={"capability": right}).raise_for_status()


def _price(shop: httpx.Client, customer: str) -> dict[str, object]:
    answer = shop.post("/price", json={"customer": customer, "sku": "tea", "count": 2})
    answer.raise_for_status()
    found: dict[str, object] = answer.json()
    return found


def test_the_shops_verbs_are_known_and_said_in_words(shop: httpx.Client) -> None:
    rights = {each["capability"]: each for each in shop.get("/plugins/restock/rights").json()}
    assert set(rights) == {"inventory.read:**", "inventory.reserve:**", "billing.charge:*", "billing.read:*"}
    assert rights["billing.charge:*"]["meaning"].startswith("It charges the customers")
    assert rights["inventory.read:**"]["meaning"].startswith("It sees how much of")


def test_without_grants_the_plugin_does_not_start(shop: httpx.Client) -> None:
    answer = _order(shop, "ada", "tea", 2)
    assert answer.status_code == 409
    assert "inventory.read:**" in answer.json()["detail"]


def test_what_is_not_granted_is_refused_and_what_is_granted_works(shop: httpx.Client) -> None:
    _grant(shop, "inventory.read:**", "inventory.reserve:**")
    denied = _order(shop, "ada", "tea", 2)
    assert denied.status_code == 409
    assert "restock lacks the capability billing.charge:ada" in denied.json()["detail"]
    assert "moorage grant restock 'billing.charge:ada'" in denied.json()["detail"]
    assert shop.get("/charges").json() == []

    _grant(shop, "billing.charge:*")
    assert _order(shop, "ada", "tea", 2).json() == {"reservation": "v-1", "receipt": "r-1", "left": 10}
    assert shop.get("/charges").json() == [{"by": "restock", "customer": "ada", "cents": 900}]


def test_the_applications_error_arrives_as_the_contracts_class(shop: httpx.Client) -> None:
    """The plugin catches CardDeclined, and returns nothing."""
    _grant(shop, "inventory.read:**", "inventory.reserve:**", "billing.charge:*")
    before = shop.get("/charges").json()
    answer = _order(shop, "grace", "tea", 2)
    assert (answer.status_code, answer.json()) == (200, None)
    assert shop.get("/charges").json() == before


def test_a_right_that_was_taken_back_counts_at_once(shop: httpx.Client) -> None:
    _grant(shop, "inventory.read:**", "inventory.reserve:**", "billing.charge:*")
    shop.request("DELETE", "/plugins/restock/rights", json={"capability": "billing.charge:*"}).raise_for_status()
    assert "lacks the capability billing.charge:ada" in _order(shop, "ada", "tea", 1).json()["detail"]


def test_plugins_may_offer_discounts_once_they_are_granted_that(shop: httpx.Client) -> None:
    _grant(shop, "inventory.read:**", "inventory.reserve:**", "billing.charge:*")
    assert _order(shop, "ada", "tea", 1).status_code == 200
    assert _price(shop, "ada") == {"cents": 900, "missing": []}
    _grant(shop, "billing.read:*", "extensions.implement:shop.discount", name="regulars")
    assert _price(shop, "ada") == {"cents": 810, "missing": []}
    assert _price(shop, "lin") == {"cents": 900, "missing": []}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_its_plugins_own_tests_pass(plugin: str) -> None:
    path = os.pathsep.join(str(part) for part in (SHOP / "contracts", ROOT / "proto", ROOT / "sdk"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", SHOP / plugin / "pyproject.toml"],
        cwd=SHOP / plugin,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert PLUGINS[plugin] in done.stdout


WRONG = """
from shop_contracts import AsyncBilling, Billing, Charge


def right(billing: Billing) -> Charge:
    return billing.charge("ada", 5)


async def right_async(billing: AsyncBilling) -> int:
    return (await billing.charge("ada", 5)).cents + sum([each.cents async for each in billing.charges("ada")])


def wrong(billing: Billing) -> None:
    billing.charge("ada", "5")


async def wrong_async(billing: AsyncBilling) -> str:
    return await billing.charge("ada", 5)
"""


def test_type_checkers_know_the_contract(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(WRONG)
    path = os.pathsep.join(str(part) for part in (SHOP / "contracts", ROOT / "proto", ROOT / "sdk"))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", tmp_path / "c", "plugin.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("plugin.py")]
    assert len(lines) == 2, done.stdout
    assert 'Argument 2 to "charge" of "Billing" has incompatible type "str"; expected "int"' in lines[0]
    assert 'Incompatible return value type (got "Charge", expected "str")' in lines[1]
