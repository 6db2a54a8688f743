"""Where a Linux distribution keeps its shared libraries, and how the kernel finds the loader of programs."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import Callable, Dict, Tuple

#: By what os.uname().machine answers: the multiarch folder's name, and the path of the loader in executables.
_MULTIARCH = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
_LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}


@dataclass(frozen=True)
class Libraries:
    #: Real paths of folders, mounted at the same path.
    folders: Tuple[str, ...]
    #: Symbolic links to make: path to target.
    links: Tuple[Tuple[str, str], ...]


def find_libraries(
    machine: str,
    is_folder: Callable[[str], bool] = os.path.isdir,
    real_path: Callable[[str], str] = os.path.realpath,
) -> Libraries:
    """Looks for a multiarch folder (Debian), then /usr/lib64 (Fedora), then /usr/lib (Arch, Alpine)."""
    multiarch = _MULTIARCH[machine]
    if is_folder(f"/usr/lib/{multiarch}"):
        wanted = [f"/usr/lib/{multiarch}", f"/lib/{multiarch}"]
    elif is_folder("/usr/lib64"):
        wanted = ["/usr/lib64", "/lib64"]
    else:
        wanted = ["/usr/lib", "/lib"]
    folders = tuple(dict.fromkeys(real_path(path) for path in wanted if is_folder(path)))
    links: Dict[str, str] = {}
    if real_path("/lib") == "/usr/lib":
        links["/lib"] = "usr/lib"
    loader = _LOADERS[machine]
    if not posixpath.dirname(loader).startswith(folders):
        links[loader] = real_path(loader)
    return Libraries(folders, tuple(links.items()))
