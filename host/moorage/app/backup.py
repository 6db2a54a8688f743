"""Back-up and restore of the store that the settings name; without a host."""

from __future__ import annotations

from pathlib import Path

from moorage.app.lock import StateLock
from moorage.config.settings import Settings
from moorage.store import backup
from moorage.store.archive import BackupManifest
from moorage.store.location import location, timeouts


def back_up(settings: Settings, file: Path) -> BackupManifest:
    """While hosts use the store, or not. Blocks. Raises as ``moorage.store.backup``, and StoreUrlInvalid."""
    return backup.back_up(location(settings.store, settings.store_path), timeouts(settings.store), file)


def would_replace(settings: Settings) -> bool:
    """Whether restoring would do away with anything. Blocks. Raises StoreFailed, StoreUrlInvalid."""
    return not backup.is_empty(location(settings.store, settings.store_path), timeouts(settings.store))


def restore(settings: Settings, file: Path, *, replace: bool) -> BackupManifest:
    """Blocks. Raises HostAlreadyRunning, SettingsInvalid, StoreUrlInvalid, and as ``moorage.store.backup``."""
    url = location(settings.store, settings.store_path)
    with StateLock(settings.state_dir):
        return backup.restore(url, timeouts(settings.store), file, replace=replace)
