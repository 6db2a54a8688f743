"""Settings in layers: what counts, where it comes from, what a change changes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from moorage.app.configs import Configs
from moorage.config.settings import Settings
from moorage.models.config import ConfigOrder, ConfigOrigin
from moorage.models.installation import Installation
from moorage.models.manifest import Manifest
from moorage.packages.config_layers import concerned, differing, flattened, merged, nested
from moorage.packages.config_schema import ConfigInvalid, effective_config
from moorage.store.errors import InstallationUnknown
from moorage.store.store import Store

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "greeting": {"type": "string", "default": "hello"},
        "retries": {"type": "integer"},
        "labels": {"type": "object", "default": {}},
        "mail": {
            "type": "object",
            "properties": {"from": {"type": "string"}, "port": {"type": "integer", "default": 25}},
        },
    },
}

NAMES = st.text(st.characters(exclude_characters=".", codec="utf-8"), min_size=1, max_size=5)
TABLES = st.recursive(
    st.integers() | st.booleans(), lambda below: st.dictionaries(NAMES, below, min_size=1), max_leaves=8
)
CONFIGS = st.dictionaries(NAMES, TABLES)


def manifest(schema: dict[str, Any] = SCHEMA) -> Manifest:
    return Manifest(name="churn", version="1.0.0", entry_point="churn:plugin", config_schema=schema)


def configs(**config: Any) -> Configs:
    return Configs(Settings.model_validate({"installations": {"churn": {"config": config}}}))


def change(made: Configs, unset: tuple[str, ...] = (), **values: Any) -> None:
    after, _ = made.after("churn", ConfigOrder(values, unset), "dana")
    made.learn("churn", after.values())


@given(CONFIGS)
def test_flattened_and_nested_are_inverse(config: dict[str, Any]) -> None:
    assert nested(flattened(config)) == config
    assert differing(config, config) == ()


@given(CONFIGS, CONFIGS)
def test_of_two_layers_the_second_counts(base: dict[str, Any], over: dict[str, Any]) -> None:
    both = flattened(merged(base, over))
    for key, value in flattened(over).items():
        assert both[key] == value
    for key, value in flattened(base).items():
        assert both.get(key) == value or concerned(flattened(over), key)


def test_a_table_with_a_dot_in_a_key_is_one_setting() -> None:
    assert flattened({"labels": {"app.kubernetes.io": "x"}, "mail": {"to": {}}}) == {
        "labels": {"app.kubernetes.io": "x"},
        "mail.to": {},
    }


def test_a_number_is_no_boolean_when_they_are_compared() -> None:
    assert differing({"a": 1, "b": 1.0}, {"a": True, "b": 1}) == ("a", "b")


def test_each_layer_counts_before_those_below_it_and_says_so() -> None:
    made = configs(retries=1, mail={"from": "file@example.com"})
    change(made, **{"retries": 5, "mail.port": 587})
    config = made.effective("churn", manifest())

    assert config == {
        "greeting": "hello",
        "retries": 5,
        "labels": {},
        "mail": {"from": "file@example.com", "port": 587},
    }
    entries = {entry.key: (entry.origin, entry.set_by) for entry in made.entries("churn", config)}
    assert entries == {
        "greeting": (ConfigOrigin.DEFAULT, ""),
        "labels": (ConfigOrigin.DEFAULT, ""),
        "mail.from": (ConfigOrigin.SETTINGS, ""),
        "mail.port": (ConfigOrigin.RUN_TIME, "dana"),
        "retries": (ConfigOrigin.RUN_TIME, "dana"),
    }


def test_what_is_unset_is_what_it_was_before() -> None:
    made = configs(retries=1)
    change(made, retries=5, mail={"from": "a@b", "port": 1})
    change(made, ("retries", "mail"))
    assert made.run_time("churn") == {}
    assert made.effective("churn", manifest())["retries"] == 1


def test_a_table_that_is_set_takes_the_place_of_what_was_below_it() -> None:
    made = configs()
    change(made, **{"mail.from": "a@b"})
    change(made, mail={"port": 1})
    assert set(made.run_time("churn")) == {"mail.port"}


def test_what_does_not_fit_is_named_with_its_key_and_the_way_back() -> None:
    made = configs()
    change(made, **{"mail.port": "many"})
    with pytest.raises(ConfigInvalid, match=r"mail\.port.*(?s:.*)moorage config churn unset KEY"):
        made.effective("churn", manifest())
    assert configs(retries=1).effective("churn", manifest())["retries"] == 1
    with pytest.raises(ConfigInvalid, match="Did you mean 'greeting'"):
        configs(greting="x").effective("churn", manifest())


def installation() -> Installation:
    return Installation("churn", manifest(), Path("/source"), Path("/code"), "c0de", ("",), "venv")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "moorage.db") as opened:
        await opened.installations.add(installation())
        yield opened


async def test_what_was_set_is_stored_with_who_set_it(store: Store) -> None:
    made = configs()
    values, gone = made.after("churn", ConfigOrder({"retries": 5, "labels": {"a.b": None}}), "dana")
    await store.config.change("churn", tuple(values.values()), gone, {"retries": 5})
    (stored,) = (await store.config.all()).values()
    assert {value.key: (value.value, value.set_by) for value in stored} == {
        "retries": (5, "dana"),
        "labels": ({"a.b": None}, "dana"),
    }
    assert (await store.installations.get("churn")).config == {"retries": 5}

    await store.config.change("churn", (), ("retries",), {})
    assert [value.key for value in (await store.config.all())["churn"]] == ["labels"]
    await store.installations.remove("churn")
    assert await store.config.all() == {}


async def test_settings_of_nobody_are_not_stored(store: Store) -> None:
    with pytest.raises(InstallationUnknown):
        await store.config.change("nobody", (), (), {})


def unique(items: list[Any]) -> bool:
    schema = {"properties": {"items": {"type": "array", "uniqueItems": True, "default": items}}}
    manifest = Manifest(name="churn", version="1.0.0", entry_point="churn:plugin", config_schema=schema)
    try:
        effective_config("churn", manifest, {})
    except ConfigInvalid as error:
        return "has non-unique elements" not in str(error)
    return True


_ITEMS = st.recursive(
    st.integers(0, 2) | st.booleans() | st.sampled_from([0.0, 1.0, 1.5, "", "1"]),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.sampled_from("ab"), below, max_size=2),
    max_leaves=4,
)


@given(st.lists(_ITEMS, max_size=4))
def test_items_are_alike_where_the_library_says_so(items: list[Any]) -> None:
    assert unique(items) == Draft202012Validator({"uniqueItems": True}).is_valid(items)


def test_very_many_items_are_compared_in_no_time() -> None:
    began = time.perf_counter()
    assert unique([{"a": number} for number in range(20_000)])
    assert time.perf_counter() - began < 5
