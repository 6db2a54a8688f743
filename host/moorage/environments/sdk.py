"""The host's own copies of SDK, contracts and sandbox, as workers see them. Found without importing the SDK."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moorage.environments.errors import SdkMissing

#: Distribution -> package.
DISTRIBUTIONS = {"moorage-sdk": "moorage_sdk", "moorage-proto": "moorage_proto", "moorage-sandbox": "moorage_sandbox"}

#: Of the installed metadata: what ``importlib.metadata`` answers from, and not where it was installed from.
_METADATA = ("METADATA", "entry_points.txt")


@dataclass(frozen=True)
class SdkSource:
    """Files by their place in the copy."""

    files: dict[str, bytes]

    @property
    def digest(self) -> str:
        digest = hashlib.sha256()
        for place, content in sorted(self.files.items()):
            name = place.encode()
            digest.update(b"%d %b %d %b" % (len(name), name, len(content), content))
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        for place, content in self.files.items():
            file = folder / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def read_sdk() -> SdkSource:
    """What is installed beside the host now. Raises SdkMissing."""
    files = {}
    for distribution, package in DISTRIBUTIONS.items():
        folder = _package_folder(package)
        for file in _code(folder):
            files[f"{package}/{file.relative_to(folder).as_posix()}"] = file.read_bytes()
        files.update(_metadata(distribution, package))
    return SdkSource(files)


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)  # of a top-level package: it is found, not imported
    if spec is None or not spec.submodule_search_locations:
        raise SdkMissing(package)
    return Path(next(iter(spec.submodule_search_locations)))


def _code(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix != ".pyc" and "__pycache__" not in file.parts:
            yield file


def _metadata(distribution: str, package: str) -> dict[str, bytes]:
    try:
        installed = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise SdkMissing(package) from error
    folder = f"{package}-{installed.version}.dist-info"
    texts = ((name, installed.read_text(name)) for name in _METADATA)
    return {f"{folder}/{name}": text.encode() for name, text in texts if text}
