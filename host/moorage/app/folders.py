"""The host's own folders, as the settings name them."""

from __future__ import annotations

import os
from pathlib import Path

from moorage.config.settings import SettingsInvalid


def make_folder(folder: Path, key: str, mode: int) -> None:
    """With its parents, if it is not there. ``key`` is the setting that names it. Raises SettingsInvalid."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, key, error) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise unusable(folder, key, PermissionError(0, "no right to write there"))


def unusable(folder: Path, key: str, error: OSError) -> SettingsInvalid:
    return SettingsInvalid(
        f"The folder {folder} cannot be used: {error.strerror}. Make room for it, or name another one with {key}."
    )
