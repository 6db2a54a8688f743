"""Puts plugins to use: reads the manifest, builds the venv, copies the code, records the installation."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moorage.app.acts import Act, record_rights
from moorage.app.asked import changes
from moorage.app.configs import Configs
from moorage.config.settings import InstallationSettings, Settings
from moorage.environments.builder import EnvironmentBuilder
from moorage.environments.errors import EnvironmentMissing
from moorage.errors import Conflict, Invalid, NotFound
from moorage.models.config import ConfigOrder
from moorage.models.installation import DesiredState, Installation
from moorage.models.manifest import Manifest
from moorage.models.rights import Words
from moorage.orchestrator.triggers.rights import unrequested
from moorage.packages.manifest import read_manifest
from moorage.packages.names import normalised
from moorage.packages.source import PluginSource, copy_source, seal, unseal
from moorage.store.effective import includes
from moorage.store.store import Store
from moorage_proto.capability import UNCALLED_VERBS, CapabilityInvalid, parse

Progress = Callable[[str], None]


class NameTaken(Conflict):
    code = "name_taken"

    def __init__(self, name: str, present: Path, wanted: Path) -> None:
        super().__init__(
            f"{name} is installed from {present} already. To install {wanted} beside it, give it another name: "
            f"moorage install {wanted} --name {name}-2"
        )


class CapabilityNotRequested(Invalid):
    code = "capability_not_requested"

    def __init__(self, name: str, capability: str, requested: Iterable[str]) -> None:
        listed = ", ".join(requested) or "nothing"
        super().__init__(f"{name} does not ask for {capability}. Its manifest asks for: {listed}.")


@dataclass(frozen=True)
class InstallOrder:
    """What a person or the scan asks for."""

    path: Path
    name: str | None = None
    #: Set at run time; what was set so before stays where this does not name it.
    config: Mapping[str, Any] | None = None
    grant: tuple[str, ...] = ()
    #: Everything that the manifest requires, on top of ``grant``.
    grant_required: bool = False
    by: str = ""


@dataclass(frozen=True)
class Prepared:
    """All that an installation needs is there, and what is installed is as it was."""

    installation: Installation
    #: What it takes the place of.
    present: Installation | None
    #: Capabilities that the order grants.
    granted: tuple[str, ...]


class Installer:
    """Used by the host alone. What a ``prepare`` leaves that nothing comes of is removed when the host starts again."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        environments: EnvironmentBuilder,
        configs: Configs,
        act: Act,
        words: Callable[[], Words] = dict,
    ) -> None:
        """``words``: what the application's services say of their own verbs."""
        self._act = act
        self._words = words
        self._settings = settings
        self._store = store
        self._environments = environments
        self._configs = configs

    async def install(self, order: InstallOrder, progress: Progress) -> Installation:
        """Installs, or brings an existing installation of the same folder to that folder's version.

        Raises as ``prepare``.
        """
        prepared = await self.prepare(order, progress)
        installation = prepared.installation
        if prepared.present is None:
            installation = replace(installation, uid=await self._uid(installation.id))
        async with self._configs.changing(installation.id):
            installation = await self._stored(installation, order, new=prepared.present is None)
        if prepared.granted:
            by = order.by or "settings"
            await self._store.grants.grant(installation.id, prepared.granted, by=by)
            await record_rights(self._act, "grant", installation.id, by, prepared.granted)
        progress(f"{installation.id} {installation.manifest.version}: installed")
        return installation

    async def _stored(self, installation: Installation, order: InstallOrder, *, new: bool) -> Installation:
        """What the order says of settings is set at run time: a later reload finds it again."""
        name, store = installation.id, self._store
        values, gone = self._configs.after(name, ConfigOrder(order.config or {}), order.by or "the installation")
        config = self._configs.effective(name, installation.manifest, values)
        installation = replace(installation, config=config)
        if new:
            # Where another host has it, what people want of it counts here too.
            installation = await store.installations.add(installation)
        else:
            await store.installations.replace(installation)
        if order.config:
            before = self._configs.run_time(name)
            set_now = [value for key, value in values.items() if value is not before.get(key)]
            await store.config.change(name, set_now, gone, config)
            self._configs.learn(name, values.values())
        return installation

    async def prepare(self, order: InstallOrder, progress: Progress) -> Prepared:
        """Copies the code and builds the environment; nothing is installed yet.

        Raises ManifestInvalid, NameTaken, ConfigInvalid, CapabilityNotRequested and what building an environment
        raises.
        """
        path = order.path.resolve()
        # A stranger's: it may take its time.
        manifest = await asyncio.to_thread(read_manifest, path)
        name = normalised(order.name) if order.name else manifest.name
        present = await self._present(name, path)
        options = self._settings.installations.get(name, InstallationSettings())
        values, _ = self._configs.after(name, ConfigOrder(order.config or {}), order.by)
        config = self._configs.effective(name, manifest, values)
        granted = self._granted(name, manifest, order, options if present is None else None)
        source = await asyncio.to_thread(copy_source, path, self._settings.state_dir / "code", manifest)
        venv_key = await self._venv_key(present, source, manifest, progress)
        if present is not None:
            for sentence in changes(name, present.manifest, manifest, self._words()):
                progress(sentence)
        if not self._settings.sandbox.development:
            # A developer's next change comes before it would have paid.
            await self._compile(source.code_path, venv_key)
        installation = Installation(
            id=name,
            manifest=manifest,
            source_path=path,
            code_path=source.code_path,
            code_hash=source.code_hash,
            code_roots=source.code_roots,
            venv_key=venv_key,
            config=config,
            start=options.start,
            installed_at=datetime.now(UTC),
        )
        if present is not None:
            installation = replace(installation, desired=present.desired, uid=present.uid)
        else:
            installation = replace(installation, desired=DesiredState(replicas=options.replicas or 1))
        return Prepared(installation, present, granted)

    async def _present(self, name: str, path: Path) -> Installation | None:
        try:
            present = await self._store.installations.get(name)
        except NotFound:
            return None
        if present.source_path != path:
            raise NameTaken(name, present.source_path, path)
        return present

    async def _venv_key(
        self, present: Installation | None, source: PluginSource, manifest: Manifest, progress: Progress
    ) -> str:
        """Of the same code the environment stays: resolving anew might bring other versions."""
        if present is not None and present.code_hash == source.code_hash:
            try:
                return (await self._environments.get(present.venv_key)).key
            except EnvironmentMissing as missing:
                progress(f"{manifest.name}: {missing}")
        progress(f"{manifest.name} {manifest.version}: building its environment")
        return (await self._environments.build(manifest, progress=progress)).key

    async def _compile(self, code: Path, venv_key: str) -> None:
        """Its workers cannot keep bytecode: they would compile at every start."""
        await asyncio.to_thread(unseal, code)
        try:
            await self._environments.compile_code(venv_key, code)
        finally:
            await asyncio.to_thread(seal, code)

    async def _uid(self, name: str) -> int | None:
        """As root every installation has a uid of its own; as an ordinary user all share the host's."""
        if os.geteuid() != 0:
            return None
        return await self._store.uids.allocate(name, first=self._settings.first_uid)

    def _granted(
        self, name: str, manifest: Manifest, order: InstallOrder, options: InstallationSettings | None
    ) -> tuple[str, ...]:
        texts = order.grant + (options.grant if options is not None else ())
        required = tuple(str(capability) for capability in manifest.required) if order.grant_required else ()
        return check_requested(name, manifest, texts) + required


def check_requested(name: str, manifest: Manifest, texts: Iterable[str]) -> tuple[str, ...]:
    """The capabilities in their canonical form; a narrower one than was requested is as good.

    Raises CapabilityNotRequested or Invalid.
    """
    requested = tuple(request.capability for request in manifest.capabilities)
    found = []
    for text in texts:
        try:
            capability = parse(text)
        except CapabilityInvalid as error:
            raise Invalid(str(error)) from error
        if not any(includes(wide, capability) for wide in requested):
            raise CapabilityNotRequested(name, str(capability), sorted(map(str, requested)))
        found.append(str(capability))
    return tuple(found)


def warnings_about(manifest: Manifest, known: frozenset[str]) -> tuple[str, ...]:
    """Sentences about what will not work as its author may think. ``known``: verbs that services' methods ask for."""
    return (*unknown_verbs(manifest, known), *unrequested(manifest))


def unknown_verbs(manifest: Manifest, known: frozenset[str]) -> tuple[str, ...]:
    """A sentence for each requested verb that neither the host itself nor a service of it knows: mistyped, or of
    another host. ``known``: those that the services' methods ask for.
    """
    known |= UNCALLED_VERBS
    found = []
    for request in manifest.capabilities:
        if request.capability.verb not in known:
            hint = nearest_verb(request.capability.verb, known)
            found.append(f"{manifest.name} asks for {request.capability}, and no service of this host knows it; {hint}")
    return tuple(found)


def nearest_verb(verb: str, known: Iterable[str]) -> str:
    """The end of a sentence about one that nobody knows."""
    close = difflib.get_close_matches(verb, sorted(known), n=1)
    return f"did you mean {close[0]}?" if close else f"It knows: {', '.join(sorted(known))}."
