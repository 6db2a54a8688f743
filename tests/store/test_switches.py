"""The switch for all installations, and what installations look like while it is off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from moorage.models.installation import DesiredState, Installation
from moorage.models.switch import SwitchState
from moorage.store.store import Store

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OFF = SwitchState(False, "maintenance", "dana", NOON)


async def test_nobody_has_touched_it(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    assert await store.switches.get() == SwitchState()
    assert (await store.installations.get(installation.id)).desired.switched_off == ""


async def test_while_it_is_off_every_installation_says_so(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    await store.installations.add(replace(installation, id="other"))
    await store.switches.put(OFF)
    assert await store.switches.get() == OFF
    told = "switched off by dana: maintenance"
    assert [each.desired.switched_off for each in await store.installations.list()] == [told, told]
    # It is no part of what is wanted of one.
    await store.installations.set_desired("other", DesiredState(enabled=False))
    assert (await store.installations.get("other")).desired == DesiredState(enabled=False, switched_off=told)

    await store.switches.put(SwitchState(True, "", "ada", NOON))
    assert (await store.installations.get("other")).desired == DesiredState(enabled=False)


async def test_a_reason_may_be_missing(store: Store, installation: Installation) -> None:
    await store.installations.add(installation)
    await store.switches.put(SwitchState(False, "", "dana", NOON))
    assert (await store.installations.get(installation.id)).desired.switched_off == "switched off by dana"
