"""The skeleton of a plugin project: its name checked, its files written."""

from __future__ import annotations

import keyword
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

from moorage.errors import Conflict, ExitCode, Invalid, MoorageError
from moorage.packages.names import normalised

#: Part of this package's data.
TEMPLATES = Path(__file__).with_name("skeleton")

#: Where each template goes. Their names end in .template so that no tool takes them for what they become.
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    "$package/__init__.py": "init.py",
    "$package/plugin.py": "plugin.py",
    "tests/test_plugin.py": "test_plugin.py",
}

#: Names that the project's own files or tools import.
_TAKEN = frozenset({"tests", "pytest", "moorage", "moorage_sdk", "moorage_proto", "moorage_sandbox"})


class FolderExists(Conflict):
    """A skeleton never writes over anything."""

    code = "folder_exists"

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} exists already. Choose another name, or another place with --into DIR.")


class NameUnusable(Invalid):
    """The name would not work as that of a Python package."""

    code = "name_unusable"


class FolderUnwritable(MoorageError):
    code = "folder_unwritable"
    exit_code = ExitCode.USAGE


def package_of(name: str) -> str:
    """The import name that goes with a project's name.

    Raises NameUnusable.
    """
    package = name.replace("-", "_").replace(".", "_")
    if not package.isidentifier() or keyword.iskeyword(package):
        raise NameUnusable(
            f"{name} cannot be imported: a package's name starts with a letter and is no Python keyword."
        )
    if package in sys.stdlib_module_names or package in _TAKEN:
        raise NameUnusable(
            f"{name} would hide the module {package} of Python or of the project's own tools. Choose another name."
        )
    return package


def create(wanted: str, into: Path) -> tuple[str, Path]:
    """Writes the project into a new folder below ``into``; gives its normalised name and the folder.

    Raises NameInvalid, NameUnusable, FolderExists and FolderUnwritable; then nothing was left behind.
    """
    name = normalised(wanted)
    values = {"name": name, "package": package_of(name)}
    folder = into / name
    try:
        into.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError as error:
        raise FolderExists(folder) from error
    except OSError as error:
        raise FolderUnwritable(f"{folder} cannot be made: {error.strerror}.") from error
    try:
        for target, template in FILES.items():
            _write(folder / Template(target).substitute(values), template, values)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise FolderUnwritable(f"{folder} cannot be written: {error.strerror}.") from error
    return name, folder


def _write(target: Path, template: str, values: Mapping[str, str]) -> None:
    target.parent.mkdir(exist_ok=True)
    text = (TEMPLATES / f"{template}.template").read_text(encoding="utf-8")
    target.write_text(Template(text).substitute(values), encoding="utf-8")
