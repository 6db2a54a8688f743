"""States of affairs of the store that a person can act on."""

from __future__ import annotations

from pathlib import Path

from moorage.errors import Conflict, ExitCode, Invalid, MoorageError, NotFound


class StoreFailed(MoorageError):
    """The database answered with an error, or does not answer."""

    code = "store_failed"
    exit_code = ExitCode.UNAVAILABLE
    http_status = 503

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The host's store cannot be used: {problem}. Look at the free space and the permissions of the state "
            "folder, or at the database server, then try again."
        )


class StoreUrlInvalid(Invalid):
    """The settings name a database that cannot be."""

    code = "store_url_invalid"
    exit_code = ExitCode.CONFIG

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The setting store.url cannot be used: {problem}. Write it as postgresql://user:${{PASSWORD}}@server/database,"
            " or leave it out for an SQLite file in state_dir."
        )


class PostgresClientMissing(MoorageError):
    code = "postgres_client_missing"
    exit_code = ExitCode.CONFIG

    def __init__(self) -> None:
        super().__init__(
            "The setting store.url names a PostgreSQL database, and the library that speaks to it is not installed:"
            ' pip install "moorage[postgresql]"'
        )


class NoStore(NotFound):
    code = "no_store"

    def __init__(self) -> None:
        super().__init__(
            "There is no store to back up where the settings say. Name the host's settings with --config, or start the"
            " host once: it makes the store."
        )


class StoreNotEmpty(Conflict):
    code = "store_not_empty"

    def __init__(self) -> None:
        super().__init__(
            "The store that the settings name holds rows already, and they would be gone. Restore into another one, or"
            " back this one up and add --replace."
        )


class HostsRunning(Conflict):
    code = "hosts_running"

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"Hosts use this store: {', '.join(names)}. Stop them first; one that was killed counts for as long as its"
            " lease (orchestrator.lease)."
        )


class BackupExists(Conflict):
    code = "backup_exists"

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file} exists already, and is not overwritten. Name another file.")


class BackupForeign(Invalid):
    code = "backup_foreign"

    def __init__(self, file: Path) -> None:
        super().__init__(f"{file} is no back-up of a Moorage store, or not a whole one. moorage backup FILE makes one.")


class BackupNewer(Invalid):
    code = "backup_newer"

    def __init__(self, file: Path, found: str) -> None:
        super().__init__(f"{file} was written by a newer Moorage: {found}. Upgrade Moorage, then restore it.")


class BackupDamaged(Invalid):
    code = "backup_damaged"

    def __init__(self, file: Path, problem: str) -> None:
        super().__init__(f"{file} cannot be restored: {problem}. The store is as it was; use another back-up.")


class StoreClosed(MoorageError):
    code = "store_closed"
    exit_code = ExitCode.UNAVAILABLE
    http_status = 503

    def __init__(self) -> None:
        super().__init__("The host's store is not open: the host is stopping or has not started. Try again later.")


class SchemaNewer(MoorageError):
    code = "schema_newer"
    exit_code = ExitCode.CONFIG

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"The host's store was written by a newer Moorage: its schema is {found}, this version knows {known} at "
            "most. Upgrade Moorage, or start it with another state_dir."
        )


class NotAStore(MoorageError):
    code = "not_a_store"
    exit_code = ExitCode.CONFIG

    def __init__(self, tables: list[str]) -> None:
        super().__init__(
            f"The database holds tables that are not Moorage's ({', '.join(tables[:3])}). The host keeps its store in "
            "a database of its own; name another one."
        )


class InstallationUnknown(NotFound):
    code = "installation_unknown"

    def __init__(self, installation: str) -> None:
        super().__init__(f"There is no installation {installation!r}. `moorage ls` shows those that exist.")


class InstallationExists(Conflict):
    code = "installation_exists"

    def __init__(self, installation: str) -> None:
        super().__init__(
            f"There is an installation {installation!r} already. Reload it to take its folder's version, or install "
            "under another name with --name."
        )


class InstalledElsewhere(Conflict):
    code = "installed_elsewhere"

    def __init__(self, installation: str, present: str, wanted: str) -> None:
        super().__init__(
            f"{installation} is the plugin {present} on another host of this store, and cannot be {wanted} here."
            f" Install it under another name: --name {installation}-2"
        )


class ExecutionUnknown(NotFound):
    code = "execution_unknown"

    def __init__(self, execution: str) -> None:
        super().__init__(f"There is no execution {execution!r}. `moorage run` and the executions' list show their ids.")


class TriggerUnknown(NotFound):
    code = "trigger_unknown"

    def __init__(self, trigger: str) -> None:
        super().__init__(f"There is no trigger {trigger!r}. `moorage triggers` shows those that exist.")


class TriggerExists(Conflict):
    code = "trigger_exists"

    def __init__(self, trigger: str) -> None:
        super().__init__(
            f"There is a trigger {trigger!r} already. Change it (moorage trigger change), have it back if it was "
            "removed (moorage trigger reset), or add yours under another name."
        )


class GrantUnknown(NotFound):
    code = "grant_unknown"

    def __init__(self, installation: str, capability: str, existing: list[str], *, denied: bool = False) -> None:
        there = ", ".join(existing) or "none"
        if denied:
            problem = f"was not denied {capability!r} in these words, so there is nothing to take back. Its deny rules"
        else:
            problem = f"was not granted {capability!r} in these words, so it cannot be revoked. Its grants"
        super().__init__(f"{installation} {problem}: {there}.")


class NotStorable(Invalid):
    """A value is of a type that has no form in the store."""

    code = "not_storable"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The value cannot be stored: {problem}. Use text, numbers, dates, bytes, lists or records.")
