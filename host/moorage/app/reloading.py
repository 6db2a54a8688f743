"""Reloads as people ask for them: from the folder of the plugin to the workers that run it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moorage.app.acts import Act, record_rights
from moorage.app.asked import described
from moorage.app.installer import Installer, InstallOrder, warnings_about
from moorage.app.wiring import Wiring
from moorage.errors import Conflict, ExitCode
from moorage.events.events import GrantsChanged, installed
from moorage.models.installation import Installation
from moorage.models.manifest import ReloadMode, RequestedCapability
from moorage.models.reload import ReloadReport
from moorage.models.rights import Words
from moorage.supervisor.desired import Resume
from moorage.supervisor.errors import ReloadUnderway
from moorage.supervisor.reload import ReloadOrder, mode_of

Progress = Callable[[str], None]


class GrantsMissing(Conflict):
    """The new version requires more than the operator has granted; nothing was stopped."""

    code = "grants_missing"
    exit_code = ExitCode.DENIED

    def __init__(
        self, installation: str, version: str, missing: Sequence[RequestedCapability], words: Words | None = None
    ) -> None:
        listed = "".join(f"\n    + {described(each, words or {})}" for each in missing)
        grants = " ".join(f"--grant '{each.capability}'" for each in missing)
        super().__init__(
            f"{installation} was not reloaded to {version}: that requires what was not granted. What ran before goes "
            f"on.{listed}\nTo grant it with the reload: moorage reload {installation} {grants}"
        )


class InstallationChanged(Conflict):
    code = "installation_changed"

    def __init__(self, installation: str) -> None:
        super().__init__(
            f"Somebody installed another version of {installation} while it was reloaded. Look at what there is now, "
            f"and reload again: moorage show {installation}"
        )


@dataclass(frozen=True)
class ReloadRequest:
    """What a person asks for. The plugin's folder is the one that it was installed from."""

    name: str
    #: None: as the plugin wants it.
    mode: ReloadMode | None = None
    #: Also where it does not run.
    start: bool = False
    grant: tuple[str, ...] = ()
    grant_required: bool = False
    by: str = ""


class Reloading:
    """Used by the host alone."""

    def __init__(
        self, parts: Wiring, installer: Installer, installing: asyncio.Lock, progress: Progress, act: Act
    ) -> None:
        """``installing`` is held by whoever builds environments."""
        self._parts = parts
        self._act = act
        self._installer = installer
        self._installing = installing
        self._progress = progress

    async def reload(self, request: ReloadRequest) -> ReloadReport:
        """Raises what installing raises, GrantsMissing, ReloadUnderway, ReloadFailed: nothing has changed then.

        What does not run is only installed, and started where that was asked for; what starting raises it raises then.
        """
        name, supervisor = request.name, self._parts.supervisor
        present = await self._parts.store.installations.get(name)
        if supervisor.reloading(name):
            raise ReloadUnderway(name)
        order = InstallOrder(present.source_path, name, None, request.grant, request.grant_required, request.by)
        async with self._installing:
            prepared = await self._installer.prepare(order, self._progress)
        target = prepared.installation
        await self._grant(name, prepared.granted, request.by)
        for warning in warnings_about(target.manifest, self._parts.broker.verbs):
            self._progress(warning)
        if not supervisor.runs(name):
            return await self._install(present, target, request)
        await self._check_granted(target)
        mode = mode_of(present.manifest, target.manifest, request.mode)
        return await supervisor.reload(
            ReloadOrder(
                target=target,
                mode=mode,
                commit=lambda: self._commit(present, target, request.by),
                withdraw=lambda: self._replace(target, present),
                progress=self._progress,
            )
        )

    async def restart(self, name: str, mode: ReloadMode | None) -> ReloadReport:
        """New workers of what is installed. What does not run is started.

        Raises what starting raises, ReloadUnderway, ReloadFailed: what ran before goes on then, or is back.
        """
        present, supervisor = await self._parts.store.installations.get(name), self._parts.supervisor
        if supervisor.reloading(name):
            raise ReloadUnderway(name)
        version = present.manifest.version
        chosen = mode_of(present.manifest, present.manifest, mode)
        if not supervisor.runs(name):
            number = (await supervisor.start(name)).status.number
            return ReloadReport(name, chosen, version, version, new=(number,))
        return await supervisor.reload(
            ReloadOrder(target=present, mode=chosen, commit=_nothing, withdraw=_nothing, progress=self._progress)
        )

    async def _install(self, present: Installation, target: Installation, request: ReloadRequest) -> ReloadReport:
        """In the place of what does not run, or may not."""
        name, supervisor = request.name, self._parts.supervisor
        await self._replace(present, target, loaded=False)
        if target.code_hash != present.code_hash:
            await supervisor.change(name, Resume(), by=request.by)
        new: tuple[int, ...] = ()
        if request.start or supervisor.runs(name):
            self._progress(f"{name}: starting {target.manifest.version}")
            new = ((await supervisor.start(name)).status.number,)
        mode = mode_of(present.manifest, target.manifest, request.mode)
        return ReloadReport(name, mode, present.manifest.version, target.manifest.version, new=new)

    async def _commit(self, present: Installation, target: Installation, by: str) -> None:
        await self._replace(present, target)
        if target.code_hash != present.code_hash:
            try:
                await self._parts.supervisor.change(target.id, Resume(), by=by)
            except BaseException:
                await asyncio.shield(self._replace(target, present))
                raise

    async def _replace(self, old: Installation, new: Installation, *, loaded: bool = True) -> None:
        """Raises InstallationChanged."""
        stored = await self._parts.store.installations.get(new.id)
        if stored.installed_at != old.installed_at:
            raise InstallationChanged(new.id)
        await self._parts.store.installations.replace(new, loaded=loaded)
        self._parts.remember(new)
        self._parts.events.announce(installed(old, new))

    async def _grant(self, name: str, texts: tuple[str, ...], by: str) -> None:
        """Of what only the new version asks for nothing else has a use."""
        if texts:
            await self._parts.store.grants.grant(name, texts, by=by or "someone")
            grants = await self._parts.supervisor.regrant(name)
            self._parts.events.announce(GrantsChanged(name, grants.epoch, by))
            await record_rights(self._act, "grant", name, by, texts)

    async def _check_granted(self, target: Installation) -> None:
        rights = await self._parts.store.grants.rights(target.id, target.manifest)
        missing = [each for each in target.manifest.capabilities if each.required and each.capability in rights.missing]
        if missing:
            raise GrantsMissing(target.id, target.manifest.version, missing, self._parts.broker.words)


async def _nothing() -> None:
    """What is installed stays installed."""
