"""Settings as people look at them and change them, while workers run."""

from __future__ import annotations

import asyncio

from moorage.app.acts import Act
from moorage.app.configs import Configs
from moorage.app.wiring import Wiring
from moorage.errors import Invalid
from moorage.events.events import ConfigChanged
from moorage.models.config import ConfigOrder, ConfigView, Heard
from moorage.models.installation import Installation, InstallationId
from moorage.packages.config_layers import concerned, differing
from moorage.packages.config_schema import ConfigInvalid
from moorage.supervisor.incarnation import Incarnation


class NotSetAtRunTime(Invalid):
    code = "not_set_at_run_time"

    def __init__(self, name: InstallationId, key: str) -> None:
        super().__init__(
            f"{key} of {name} was not set at run time, so there is nothing to take back. moorage config {name} shows"
            " where each setting comes from; those of the settings file are changed there."
        )


class Config:
    """Implements ``moorage.web.operations.ConfigOperations``."""

    def __init__(self, parts: Wiring, act: Act) -> None:
        self._parts = parts
        self._act = act

    async def show(self, name: InstallationId) -> ConfigView:
        """Every setting, with where it comes from. Raises InstallationUnknown."""
        return self._view(await self._parts.store.installations.get(name))

    async def change(self, name: InstallationId, order: ConfigOrder, *, by: str = "") -> ConfigView:
        """Stored, then told to its workers. What they make of it is told: the settings count all the same.

        Raises InstallationUnknown; ConfigInvalid where the settings would not fit the schema of the plugin, or of a
        version of it that still runs; NotSetAtRunTime. Nothing has changed then.
        """
        # Not to be left between the store and the workers by whoever waits no longer.
        return await asyncio.shield(self._parts.tasks.start(self._change(name, order, by), f"config of {name}"))

    async def _change(self, name: InstallationId, order: ConfigOrder, by: str) -> ConfigView:
        parts, configs = self._parts, self._parts.configs
        async with configs.changing(name):
            installation = await parts.store.installations.get(name)
            before = configs.of_or_empty(installation)
            for key in order.unset:
                if not concerned(configs.run_time(name), key):
                    raise NotSetAtRunTime(name, key)
            values, gone = configs.after(name, order, by or "someone")
            after = configs.effective(name, installation.manifest, values)
            for running in parts.supervisor.living(name):
                configs.effective(name, running.installation.manifest, values)
            new = [value for key, value in values.items() if value is not configs.run_time(name).get(key)]
            await parts.store.config.change(name, new, gone, after)
            configs.learn(name, values.values())
            parts.remember(await parts.store.installations.get(name))
            changed = differing(before, after)
            await self._act("config", name, by, _told(order))
            parts.events.announce(ConfigChanged(name, changed, by))
            ready = [each for each in parts.supervisor.living(name) if each.ready]
            heard = await asyncio.gather(*(tell(configs, each) for each in ready))
        view = self._view(installation)
        return ConfigView(name, view.entries, changed, tuple(found for found in heard if found), view.problem)

    def _view(self, installation: Installation) -> ConfigView:
        name, configs = installation.id, self._parts.configs
        try:
            return ConfigView(name, configs.entries(name, configs.of(installation)))
        except ConfigInvalid as error:
            return ConfigView(name, configs.entries(name, configs.layers(name)), problem=str(error))


async def tell(configs: Configs, worker: Incarnation) -> Heard | None:
    """Brings one worker up to date; None: it has these settings already."""
    return await worker.change_config(configs.of(worker.installation))


def _told(order: ConfigOrder) -> str:
    """Keys alone: a value may be nobody's business."""
    parts = [f"set {key}" for key in order.set] + [f"unset {key}" for key in order.unset]
    return ", ".join(parts)
