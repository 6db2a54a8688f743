"""A Python installation: what of it must be mounted so that /py looks like its prefix."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from typing import Optional, Tuple

#: Prefixes that hold more than Python; of them only Python's own files are mounted.
SHARED_PREFIXES = ("/", "/usr", "/usr/local")

#: Run with ``-I -S -c`` by a trusted base interpreter; prints what ``Interpreter.from_answer`` reads.
QUERY = """
import json, os, sys
from importlib.machinery import EXTENSION_SUFFIXES
real = os.path.realpath
stdlib = os.path.dirname(real(os.__file__))
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
folders = [os.path.join(sys.base_prefix, sys.platlibdir), os.path.join(sys.base_prefix, "lib")]
library = [os.path.join(folder, name) for folder in folders if os.path.exists(os.path.join(folder, name))]
dynload = [entry for entry in sys.path if entry.endswith("lib-dynload")]
print(json.dumps({
    "executable": real(getattr(sys, "_base_executable", sys.executable)),
    "prefix": real(sys.base_prefix),
    "version": list(sys.version_info[:3]),
    "stdlib": stdlib,
    "dynload": real(dynload[0]) if dynload else None,
    "library": library[0] if library else None,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """Facts of one CPython on the host; paths are real paths."""

    executable: str
    prefix: str
    version: Tuple[int, int, int]
    #: Folder of os.py.
    stdlib: str
    #: Folder of the standard library's extension modules, if they are no part of the executable.
    dynload: Optional[str]
    #: libpython, if it is a shared library below the prefix.
    library: Optional[str]

    @classmethod
    def from_answer(cls, answer: str) -> Interpreter:
        """Reads what QUERY printed."""
        facts = json.loads(answer)
        major, minor, micro = facts.pop("version")
        return cls(version=(major, minor, micro), **facts)

    @property
    def shares_prefix(self) -> bool:
        return self.prefix in SHARED_PREFIXES

    def inside(self, path: str) -> str:
        """Where a path below the prefix stands in the worker: /usr/lib/python3.11 -> /py/lib/python3.11."""
        return posixpath.normpath(posixpath.join("/py", posixpath.relpath(path, self.prefix)))

    @property
    def needed(self) -> Tuple[str, ...]:
        """The files and folders below the prefix that are mounted."""
        if not self.shares_prefix:
            return (self.prefix,)
        parts = [self.executable, self.stdlib]
        if self.dynload is not None and not self.dynload.startswith(self.stdlib + "/"):
            parts.append(self.dynload)
        if self.library is not None:
            parts.append(self.library)
        return tuple(parts)

    @property
    def module_path(self) -> Tuple[str, ...]:
        """sys.path of the bare interpreter, as the worker sees it."""
        found = (self.stdlib,) if self.dynload is None else (self.stdlib, self.dynload)
        return tuple(self.inside(path) for path in found)
