"""Policies of executions as people look at them and change them, while the host runs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from moorage.app.acts import Act
from moorage.app.wiring import Wiring
from moorage.errors import Invalid
from moorage.models.installation import InstallationId
from moorage.models.policy import Origin, PolicyValue
from moorage.packages.policies import parse_policy, stored


class PolicyNotSet(Invalid):
    code = "policy_not_set"

    def __init__(self, name: InstallationId, key: str) -> None:
        super().__init__(
            f"{key!r:.80} of {name}'s policy was not set at run time, so there is nothing to take back. moorage policy"
            f" {name} shows where each value comes from."
        )


class Policies:
    """Implements ``moorage.web.operations.PolicyOperations``."""

    def __init__(self, parts: Wiring, act: Act) -> None:
        self._parts = parts
        self._act = act

    async def show(self, name: InstallationId) -> tuple[PolicyValue, ...]:
        """Every value, with where it comes from. Raises InstallationUnknown."""
        return self._parts.policies.values(await self._parts.store.installations.get(name))

    async def change(
        self, name: InstallationId, given: Mapping[str, Any], *, reset: Collection[str] = (), by: str = ""
    ) -> tuple[PolicyValue, ...]:
        """Sets values by key, and takes others back; it counts for what begins from now on. Returns what ``show`` does.

        Raises InstallationUnknown, PolicyInvalid, PolicyNotSet; nothing has changed then.
        """
        # Not to be left between the store and the queues by whoever waits no longer.
        return await asyncio.shield(self._parts.tasks.start(self._change(name, given, reset, by), f"policy of {name}"))

    async def _change(
        self, name: InstallationId, given: Mapping[str, Any], reset: Collection[str], by: str
    ) -> tuple[PolicyValue, ...]:
        parts, policies = self._parts, self._parts.policies
        values = parse_policy(given, f"policy of {name}")
        async with policies.changing:
            installation = await parts.store.installations.get(name)
            before = {value.key: value for value in policies.people(name)}
            for key in reset:
                if key not in before:
                    raise PolicyNotSet(name, key)
            now = datetime.now(UTC)
            new = [
                PolicyValue(key, stored(value), Origin.PERSON, by or "someone", now) for key, value in values.items()
            ]
            await parts.store.policy_values.change(name, new, reset)
            kept = {key: value for key, value in before.items() if key not in reset}
            policies.learn(name, (kept | {value.key: value for value in new}).values())
            words = [f"{value.key}={value.value}" for value in new] + [f"reset {key}" for key in reset]
            await self._act("policy", name, by, ", ".join(words))
            await parts.orchestrator.reconsider(name)
        return policies.values(installation)
