"""The ``.dist-info`` folder beside a plugin's code, so that ``importlib.metadata`` finds the plugin in its worker."""

from __future__ import annotations

import shutil
from pathlib import Path

from packaging.utils import canonicalize_name

from moorage.models.manifest import Author, Manifest


def write_metadata(code_root: Path, manifest: Manifest) -> None:
    """Writes it, in place of one that the project brought along under its own name.

    https://packaging.python.org/specifications/recording-installed-packages/; RECORD is optional there and left out:
    nothing uninstalls a plugin's copy.
    """
    for entry in code_root.glob("*.dist-info"):
        if canonicalize_name(entry.name.partition("-")[0]) == manifest.name and not entry.is_symlink():
            shutil.rmtree(entry)
    folder = code_root / f"{manifest.name.replace('-', '_')}-{manifest.version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(metadata(manifest), encoding="utf-8")
    (folder / "INSTALLER").write_text("moorage\n", encoding="utf-8")


def metadata(manifest: Manifest) -> str:
    """The core metadata of a plugin, version 2.1 (PEP 566). Every value is one line: the manifest was checked."""
    fields = [("Metadata-Version", "2.1"), ("Name", manifest.name), ("Version", manifest.version)]
    if manifest.description:
        fields.append(("Summary", manifest.description))
    fields += [_author(author) for author in manifest.authors]
    if manifest.license:
        fields.append(("License", manifest.license))
    fields += [("Project-URL", f"{label}, {address}") for label, address in manifest.urls.items()]
    if manifest.requires_python:
        fields.append(("Requires-Python", manifest.requires_python))
    fields += [("Requires-Dist", dependency) for dependency in manifest.dependencies]
    return "".join(f"{key}: {value}\n" for key, value in fields)


def _author(author: Author) -> tuple[str, str]:
    if not author.email:
        return "Author", author.name
    return "Author-email", f"{author.name} <{author.email}>" if author.name else author.email
