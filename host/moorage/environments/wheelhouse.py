"""The operator's folders of wheels, offered to uv as an index of their own that comes before every other.

uv's ``--find-links`` only adds to what an index has: of a package that is in both, the higher version wins, and whoever
publishes an internal package's name on a public index gets their code installed (dependency confusion: reproduced).
Of indexes, uv takes a package from the first that has it. So the folders are listed as a simple index in files.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename


class Wheelhouse:
    def __init__(self, folders: Iterable[Path], indexes: Path) -> None:
        self._folders = tuple(folders)
        self._indexes = indexes

    def index(self) -> str:
        """Address of an index of what the folders hold now; empty where that is nothing."""
        pages = {name: _page(files) for name, files in sorted(_by_name(self._folders).items())}
        if not pages:
            return ""
        digest = hashlib.sha256("\0".join(f"{name}\0{page}" for name, page in pages.items()).encode()).hexdigest()
        # The same content keeps its address: uv's cache goes by it.
        folder = self._indexes / digest[:32]
        if not folder.is_dir():
            _write(pages, folder)
        return folder.absolute().as_uri()


def _by_name(folders: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Normalised package name -> file name -> file. Of two files with one name the first folder's counts.

    Source distributions are listed, though none is installed: a name that is here is not looked for elsewhere.
    """
    found: dict[str, dict[str, Path]] = {}
    for folder in folders:
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            name = _package_name(file.name)
            if name and file.is_file():
                found.setdefault(name, {}).setdefault(file.name, file.absolute())
    return found


def _package_name(file_name: str) -> str:
    with contextlib.suppress(InvalidWheelFilename):
        return parse_wheel_filename(file_name)[0]
    with contextlib.suppress(InvalidSdistFilename):
        return parse_sdist_filename(file_name)[0]
    return ""


def _page(files: Mapping[str, Path]) -> str:
    """https://packaging.python.org/specifications/simple-repository-api/; uv hashes local files by itself."""
    links = (
        f'<a href="{html.escape(file.as_uri())}">{html.escape(name)}</a><br>\n' for name, file in sorted(files.items())
    )
    return f"<!DOCTYPE html>\n<html><body>\n{''.join(links)}</body></html>\n"


def _write(pages: Mapping[str, str], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".index-", dir=folder.parent))
    try:
        for name, page in pages.items():
            (temporary / name).mkdir()
            (temporary / name / "index.html").write_text(page)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another host wrote the same meanwhile
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
