"""Finds plugins in folders and their subfolders. One broken plugin never stops the others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from moorage.models.manifest import Manifest
from moorage.models.views import BrokenPlugin
from moorage.packages.document import FILE_NAME, Document, ManifestInvalid, read_document
from moorage.packages.manifest import parse_manifest
from moorage.packages.names import HOST_PROVIDED, HOST_PROVIDED_MODULES
from moorage.packages.source import LEFT_OUT

#: Folders below a scanned one; a tree that goes deeper or wider is not a folder of plugins.
MAX_DEPTH = 12
MAX_FOLDERS = 20_000


@dataclass(frozen=True)
class FoundPlugin:
    path: Path
    manifest: Manifest


@dataclass(frozen=True)
class ScanResult:
    """What lies in the scanned folders, in the order of folders and names."""

    found: tuple[FoundPlugin, ...]
    broken: tuple[BrokenPlugin, ...]
    #: Sentences about what was passed over.
    warnings: tuple[str, ...]


@dataclass
class _Scan:
    found: list[FoundPlugin] = field(default_factory=list)
    broken: list[BrokenPlugin] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: Device and inode of each folder: links may lead in circles.
    seen: set[tuple[int, int]] = field(default_factory=set)
    full: bool = False

    def visit(self, folder: Path, depth: int) -> None:
        if not self._is_new(folder, depth):
            return
        document = self._document(folder)
        if document is None:
            pass
        elif canonicalize_name(document.project_name) in HOST_PROVIDED:
            self.warnings.append(
                f"{folder} is a copy of {document.project_name} and was skipped: workers get the host's own."
            )
            return
        elif document.is_plugin:
            self._add(document, folder)
            return
        for below in self._below(folder):
            self.visit(below, depth + 1)

    def _is_new(self, folder: Path, depth: int) -> bool:
        if depth > MAX_DEPTH:
            self.warnings.append(f"{folder} lies more than {MAX_DEPTH} folders deep and was skipped.")
            return False
        if len(self.seen) >= MAX_FOLDERS:
            if not self.full:
                self.warnings.append(f"More than {MAX_FOLDERS} folders were found; those after {folder} were skipped.")
            self.full = True
            return False
        try:
            status = folder.stat()
        except OSError:  # gone since it was listed
            return False
        place = (status.st_dev, status.st_ino)
        if place in self.seen:
            return False
        self.seen.add(place)
        return True

    def _document(self, folder: Path) -> Document | None:
        if not os.path.lexists(folder / FILE_NAME):
            return None
        try:
            return read_document(folder)
        except ManifestInvalid as error:
            self.broken.append(BrokenPlugin(folder, str(error)))
            return None

    def _below(self, folder: Path) -> list[Path]:
        """The subfolders that may hold plugins, by name. Links are followed: people link their projects in."""
        try:
            return sorted(entry for entry in folder.iterdir() if _may_hold_plugins(entry))
        except OSError as error:
            self.warnings.append(f"{folder} cannot be read and was skipped: {error.strerror}.")
            return []

    def _add(self, document: Document, folder: Path) -> None:
        for name in sorted(HOST_PROVIDED_MODULES):
            for copy in (folder / name, folder / "src" / name):
                if copy.is_dir():
                    self.warnings.append(
                        f"{copy} is a copy of a part of Moorage and is left out; the host has its own."
                    )
        try:
            manifest = parse_manifest(document)
        except ManifestInvalid as error:
            self.broken.append(BrokenPlugin(folder, str(error)))
            return
        inner = _nested_plugin(folder)
        if inner is not None:
            self.broken.append(
                BrokenPlugin(
                    folder,
                    f"{folder} holds two plugins: its own and the one in {inner}. "
                    "A folder holds one; split them into folders beside each other.",
                )
            )
            return
        self.found.append(FoundPlugin(folder, manifest))

    def result(self) -> ScanResult:
        by_name: dict[str, FoundPlugin] = {}
        for plugin in self.found:
            first = by_name.setdefault(plugin.manifest.name, plugin)
            if first is not plugin:
                self.broken.append(
                    BrokenPlugin(
                        plugin.path,
                        f"{plugin.path} and {first.path} both hold a plugin named {plugin.manifest.name!r}. The first "
                        "one is used; rename or remove the other, or install it under a name of its own.",
                    )
                )
        return ScanResult(tuple(by_name.values()), tuple(self.broken), tuple(self.warnings))


def scan(folders: Iterable[Path]) -> ScanResult:
    """Looks for plugins in the folders and below them, without importing or running anything of theirs."""
    state = _Scan()
    for folder in folders:
        if folder.is_dir():
            state.visit(folder, 0)
        else:
            state.warnings.append(f"{folder} is not a folder; no plugins were looked for there.")
    return state.result()


def _may_hold_plugins(entry: Path) -> bool:
    if entry.name.startswith(".") or entry.name in LEFT_OUT:
        return False
    # These two answer False, and raise nothing, where something may not be read.
    return os.path.isdir(entry) and not os.path.lexists(entry / "pyvenv.cfg")  # noqa: PTH112 - Path.is_dir raises


def _nested_plugin(folder: Path) -> Path | None:
    """A second plugin's folder inside a plugin's folder. Links are not followed: the copy would not hold them."""
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if _may_hold_plugins(Path(parent) / name))
        if Path(parent) == folder or FILE_NAME not in files:
            continue
        try:
            if read_document(Path(parent)).is_plugin:
                return Path(parent)
        except ManifestInvalid:
            continue  # whatever it is, nothing will load it
    return None
