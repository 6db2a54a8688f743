"""Values of policies that were changed at run time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from moorage.models.installation import Installation
from moorage.models.policy import Origin, PolicyValue
from moorage.store.errors import InstallationUnknown
from moorage.store.store import Store

from .conftest import NOW


def _value(key: str, value: object) -> PolicyValue:
    return PolicyValue(key, value, Origin.PERSON, "dana", NOW)


async def test_values_are_set_replaced_and_taken_back(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    timeout = _value("timeout", timedelta(minutes=2))
    await store.policy_values.change(installation.id, [_value("retries", 2), timeout, _value("rate", "10/60s")])
    await store.policy_values.change(installation.id, [_value("retries", 3)], ["rate", "queue"])
    assert await store.policy_values.all() == {installation.id: (_value("retries", 3), timeout)}
    await store.installations.remove(installation.id)
    assert await store.policy_values.all() == {}


async def test_nothing_is_set_for_an_installation_that_is_not_there(store: Store) -> None:
    with pytest.raises(InstallationUnknown):
        await store.policy_values.change("gone", [_value("retries", 2)])
