"""What the host mounts into workers beside the plugin's own: grpcio, protobuf and the SDK, for each Python."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from moorage.environments.install import compile_tree, install, move_scripts
from moorage.environments.interpreters import Interpreter
from moorage.environments.lock import pins
from moorage.environments.sdk import read_sdk
from moorage.environments.shelf import Facts, Shelf
from moorage.environments.uv import Uv
from moorage.environments.verify import check_site_packages, check_tree, remove_needless, seal

#: Where workers see the two folders.
SDK_MOUNT = "/sdk"
RUNTIME_MOUNT = "/runtime"

#: Part of the keys: grows when what is made from the same input changes.
_FORMAT = "1"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Runtime:
    """Two folders, both complete and never changed."""

    interpreter: Interpreter
    #: Copies of moorage_sdk, moorage_proto and moorage_sandbox.
    sdk_path: Path
    #: grpcio, protobuf and what they need.
    runtime_path: Path
    #: Normalised name -> version of what is in runtime_path.
    packages: Mapping[str, str]


def runtime_packages(interpreter: Interpreter) -> dict[str, str]:
    """Normalised name -> version of the host's runtime for an interpreter."""
    return pins(_lock(), interpreter)


class Runtimes:
    """Makes runtimes where they are missing, once for each interpreter and content."""

    def __init__(self, uv: Uv, state_dir: Path) -> None:
        self._uv = uv
        self._runtimes = Shelf(state_dir / "runtimes")
        self._sdks = Shelf(state_dir / "sdk")
        #: Made or found since the host started, by the interpreter's path: workers of one host have one SDK.
        self._ready: dict[Path, Runtime] = {}

    async def get(self, interpreter: Interpreter, *, progress: Progress) -> Runtime:
        """Raises InstallerFailed or SdkMissing."""
        ready = self._ready.get(interpreter.path)
        if ready is None:
            ready = self._ready[interpreter.path] = Runtime(
                interpreter,
                sdk_path=await self._sdk(interpreter),
                runtime_path=await self._runtime(interpreter, progress),
                packages=runtime_packages(interpreter),
            )
        return ready

    async def _runtime(self, interpreter: Interpreter, progress: Progress) -> Path:
        key = _key("runtime", interpreter, _lock())

        async def fill(folder: Path) -> Facts:
            what = f"Installing Moorage's runtime for Python {interpreter.version}"
            progress(f"{what}.")
            lock, packages, programs = folder / "lock.txt", folder / "packages", folder / "programs"
            packages.mkdir()
            programs.mkdir()
            lock.write_text(_lock())
            await install(self._uv, what, interpreter, lock, packages)
            move_scripts(packages, programs, "/venv/bin/python")
            remove_needless(packages)
            await compile_tree(interpreter, {packages: RUNTIME_MOUNT})
            await asyncio.to_thread(_verify, folder, packages)
            return {"python": interpreter.version}

        return await self._runtimes.make(key, fill) / "packages"

    async def _sdk(self, interpreter: Interpreter) -> Path:
        source = await asyncio.to_thread(read_sdk)
        key = _key("sdk", interpreter, source.digest)

        async def fill(folder: Path) -> Facts:
            packages = folder / "packages"
            source.write(packages)
            await compile_tree(interpreter, {packages: SDK_MOUNT})
            await asyncio.to_thread(_verify, folder, packages)
            return {"python": interpreter.version, "source": source.digest}

        return await self._sdks.make(key, fill) / "packages"


def _verify(folder: Path, packages: Path) -> None:
    check_site_packages(packages)
    check_tree(folder, {})
    seal(folder)


def _lock() -> str:
    return files(__package__).joinpath("runtime.txt").read_text()


def _key(*parts: str | Interpreter) -> str:
    texts = (f"{part.version} {part.abi}" if isinstance(part, Interpreter) else part for part in parts)
    return hashlib.sha256("\0".join((_FORMAT, *texts)).encode()).hexdigest()
