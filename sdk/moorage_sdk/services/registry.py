"""The faces that injection knows: the built-in ones, and those an application's own package registers."""

from __future__ import annotations

from typing import Dict, Iterable, Optional

from moorage_sdk.services.base import Face

_faces: Dict[str, Face] = {}


class FaceTaken(RuntimeError):
    """Two faces answer the same annotation."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another face already provides {name}; register one face for each type")


def register(*faces: Face) -> None:
    """Makes faces known; before the plugin is loaded, as a rule where the face's module is imported.

    Raises FaceTaken, and registers nothing then. Registering the same face again does nothing.
    """
    for face in faces:
        for name in face.provides:
            if _faces.get(name, face) is not face:
                raise FaceTaken(name)
    for face in faces:
        _faces.update(dict.fromkeys(face.provides, face))


def find(name: str) -> Optional[Face]:
    return _faces.get(name)


def provided() -> Iterable[str]:
    """The type names that can be injected, sorted: for messages."""
    return sorted(_faces)
