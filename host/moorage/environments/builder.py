"""Builds the virtualenvs of plugins: at install, once for each (Python, lock), never upgraded in place.

The virtualenv is laid out here and not by ``uv venv``: that one adds a ``.pth`` file that runs code and activation
scripts that tell plugins the host's paths. Inside the sandbox the interpreter stands at ``/py`` and this folder at
``/venv``; on the host its ``bin/python`` leads nowhere, on purpose: nothing of a filled virtualenv is ever run here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moorage.config.settings import EnvironmentSettings
from moorage.environments.errors import EnvironmentMissing
from moorage.environments.install import compile_tree, install, move_scripts
from moorage.environments.interpreters import Interpreter, Interpreters
from moorage.environments.lock import pins, resolve
from moorage.environments.runtime import Runtime, Runtimes, runtime_packages
from moorage.environments.shelf import Facts, Shelf
from moorage.environments.uv import Uv
from moorage.environments.verify import check_site_packages, check_size, check_tree, remove_needless, seal, tree_digest
from moorage.models.manifest import Manifest

#: Where workers see the interpreter's prefix, the virtualenv and the plugin's code.
INTERPRETER_MOUNT = "/py"
VENV_MOUNT = "/venv"
CODE_MOUNT = "/plugin"

#: Part of the keys: grows when what is made from the same lock changes.
_FORMAT = "1"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Environment:
    """A plugin's virtualenv, complete and never changed."""

    #: Hash of Python and lock.
    key: str
    #: The virtualenv; workers see it at /venv.
    path: Path
    interpreter: Interpreter
    #: Each package with version and hashes.
    lock: Path
    #: Versions that are effective in a worker.
    python: str
    protobuf: str
    grpcio: str
    #: True: the lock has another version of something in the host's runtime, such as protobuf; the plugin's own comes
    #: before the runtime's, and its workers start fresh.
    pins_runtime: bool


class EnvironmentBuilder:
    """Builds environments and runtimes below the host's state folder."""

    def __init__(self, settings: EnvironmentSettings, state_dir: Path) -> None:
        self._settings = settings
        self._interpreters = Interpreters(settings.interpreters)
        self._uv = Uv(settings, state_dir)
        self._shelf = Shelf(state_dir / "environments")
        self._runtimes = Runtimes(self._uv, state_dir)
        #: Found since the host started; complete environments never change.
        self._found: dict[str, Environment] = {}

    async def build(self, manifest: Manifest, *, progress: Progress) -> Environment:
        """The environment of a plugin's dependencies as the index has them now, and the runtime beside it.

        Raises NoInterpreter, DependenciesUnresolvable, EnvironmentRefused, EnvironmentTooLarge or InstallerFailed.
        """
        plugin = f"{manifest.name} {manifest.version}"
        interpreter = await self._interpreters.choose(plugin, manifest.requires_python, manifest.prefer_python)
        await self._runtimes.get(interpreter, progress=progress)
        progress(f"Resolving the dependencies of {plugin} for Python {interpreter.version}.")
        lock = await resolve(self._uv, plugin, interpreter, manifest.dependencies, runtime_packages(interpreter))
        key = _key(interpreter, lock)

        async def fill(folder: Path) -> Facts:
            return await self._fill(folder, plugin, interpreter, lock, progress)

        if self._shelf.find(key) is not None:
            progress(f"The environment of {plugin} is there already.")
        folder = await self._shelf.make(key, fill)
        return _environment(key, folder, interpreter)

    async def get(self, key: str) -> Environment:
        """An environment that was built before. Raises EnvironmentMissing."""
        if key not in self._found:
            self._found[key] = await self._find(key)
        return self._found[key]

    async def compile_code(self, key: str, code: Path) -> None:
        """Writes bytecode beside a plugin's sources, which its workers cannot: for the Python of an environment.

        Raises EnvironmentMissing, InstallerFailed.
        """
        await compile_tree((await self.get(key)).interpreter, {code: CODE_MOUNT})

    async def _find(self, key: str) -> Environment:
        folder = self._shelf.find(key)
        if folder is None:
            raise EnvironmentMissing(key, "it is not there, or not whole")
        facts = self._shelf.facts(key)
        for interpreter in await self._interpreters.found():
            if (str(interpreter.path), interpreter.abi) == (facts["interpreter"], facts["abi"]):
                return _environment(key, folder, interpreter)
        for interpreter in await self._interpreters.found():
            if interpreter.abi == facts["abi"]:
                return _environment(key, folder, interpreter)
        raise EnvironmentMissing(key, f"it was built for Python {facts['python']}, which is no longer installed")

    async def runtime(self, environment: Environment, *, progress: Progress = lambda _: None) -> Runtime:
        """The host's runtime for an environment; made at install, and made anew here after an upgrade of the host."""
        return await self._runtimes.get(environment.interpreter, progress=progress)

    def collect(self, keep: set[str]) -> tuple[str, ...]:
        """Removes the environments whose keys are not kept; says which."""
        self._found = {key: environment for key, environment in self._found.items() if key in keep}
        return self._shelf.collect(keep)

    async def _fill(self, folder: Path, plugin: str, interpreter: Interpreter, lock: str, progress: Progress) -> Facts:
        lock_file, venv = folder / "lock.txt", folder / "venv"
        lock_file.write_text(lock)
        site_packages = lay_out(venv, interpreter)
        count = len(pins(lock, interpreter))
        if lock:
            progress(f"Installing {count} {'package' if count == 1 else 'packages'} for {plugin}.")
            await install(self._uv, f"Installing the dependencies of {plugin}", interpreter, lock_file, site_packages)
        check_size(site_packages, self._settings.max_bytes, self._settings.max_files)
        move_scripts(site_packages, venv / "bin", f"{VENV_MOUNT}/bin/python")
        remove_needless(site_packages)
        check_site_packages(site_packages)
        shown = f"{VENV_MOUNT}/{site_packages.relative_to(venv)}"
        await compile_tree(interpreter, {site_packages: shown})
        digest = await asyncio.to_thread(_verify, venv, interpreter)
        progress(f"The environment of {plugin} is complete.")
        return {
            "python": interpreter.version,
            "abi": interpreter.abi,
            "interpreter": str(interpreter.path),
            "tree": digest,
        }


def lay_out(venv: Path, interpreter: Interpreter) -> Path:
    """Makes an empty virtualenv as workers see it; its site-packages folder."""
    site_packages = venv / "lib" / interpreter.library / "site-packages"
    site_packages.mkdir(parents=True)
    for place, target in _links(interpreter).items():
        link = venv / place
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(target)
    (venv / "pyvenv.cfg").write_text(
        f"home = {INTERPRETER_MOUNT}/bin\n"
        "implementation = CPython\n"
        f"version_info = {interpreter.version}\n"
        "include-system-site-packages = false\n"
    )
    return site_packages


def _links(interpreter: Interpreter) -> dict[str, str]:
    """The only symbolic links of a virtualenv."""
    return {
        "bin/python": f"{INTERPRETER_MOUNT}/bin/{interpreter.library}",
        "bin/python3": "python",
        f"bin/{interpreter.library}": "python",
        "lib64": "lib",
    }


def _verify(venv: Path, interpreter: Interpreter) -> str:
    check_tree(venv, _links(interpreter))
    seal(venv)
    return tree_digest(venv)


def _environment(key: str, folder: Path, interpreter: Interpreter) -> Environment:
    lock = folder / "lock.txt"
    locked = pins(lock.read_text(), interpreter)
    provided = runtime_packages(interpreter)
    pins_runtime = any(locked.get(name, version) != version for name, version in provided.items())
    effective = {**provided, **locked}
    return Environment(
        key=key,
        path=folder / "venv",
        interpreter=interpreter,
        lock=lock,
        python=interpreter.version,
        protobuf=effective["protobuf"],
        grpcio=effective["grpcio"],
        pins_runtime=pins_runtime,
    )


def _key(interpreter: Interpreter, lock: str) -> str:
    text = "\0".join((_FORMAT, interpreter.version, interpreter.abi, lock))
    return hashlib.sha256(text.encode()).hexdigest()
