"""The host's settings: one table with names, types, defaults, units and help. Read once, then frozen."""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomllib
from pydantic import Field, ValidationError, model_validator

from moorage.config.audit import AuditSettings
from moorage.config.extensions import ExtensionSettings
from moorage.config.orchestration import OrchestratorSettings, PolicySettings, TriggerSettings
from moorage.config.retention import RetentionSettings
from moorage.config.services.events import EventsSettings
from moorage.config.services.http import HttpSettings
from moorage.config.services.kafka import KafkaBackend
from moorage.config.services.redis import RedisBackend
from moorage.config.services.secrets import SecretsSettings
from moorage.config.services.servicebus import ServiceBusBackend
from moorage.config.services.sql import SqlBackend
from moorage.config.services.storage import StorageSettings
from moorage.config.store import StoreSettings
from moorage.config.table import Folder, Table, absolute
from moorage.config.webhooks import WebhookSettings
from moorage.errors import ExitCode, Invalid
from moorage.models.manifest import Limits

Level = Literal["full", "full-bwrap", "restricted", "none"]


class SettingsInvalid(Invalid):
    """The configuration file cannot be used; the sentences name file, key and remedy."""

    code = "settings_invalid"
    exit_code = ExitCode.CONFIG


class SandboxSettings(Table):
    require: Level = Field(
        default="full", description="Lowest level at which a plugin may start, where this machine has no stronger one."
    )
    first_uid: int | None = Field(
        default=None,
        ge=1000,
        le=4_000_000_000,
        description="As root: first user id given to installations. Default: worked out from the state folder.",
    )
    development: bool = Field(
        default=False,
        description="Forbidden system calls fail and are named in the log, instead of ending the worker; moorage dev"
        " sets it.",
    )
    cgroup: Annotated[str, Field(pattern=r"^(auto|off|/.+)$")] = Field(
        default="auto",
        description="Where the host makes its control groups: auto (below its own), off, or a folder of a cgroup file"
        " system that it may write to.",
    )
    cpus: float | None = Field(
        default=None,
        gt=0,
        le=4096,
        description="Most CPU cores, as a fraction, that one installation may use, whatever its manifest says. Default:"
        " half of those that the host may use.",
    )


class PluginSettings(Table):
    folders: tuple[Folder, ...] = Field(
        default=(), description="Folders scanned for plugins, with subfolders, at start."
    )

    def anchored(self, folder: Path) -> Self:
        return self.model_copy(update={"folders": tuple(absolute(folder, path) for path in self.folders)})


class EnvironmentSettings(Table):
    wheelhouse: tuple[Folder, ...] = Field(default=(), description="Folders of wheels searched before the index.")
    offline: bool = Field(default=False, description="Use the wheelhouse and the cache alone, never an index.")
    interpreters: tuple[Folder, ...] = Field(
        default=(), description="Python interpreters besides those found on this machine."
    )
    timeout: timedelta = Field(
        default=timedelta(minutes=10), description="Longest time for resolving or installing (seconds)."
    )
    max_bytes: int = Field(
        default=16 * 1024**3, ge=1024**2, description="Most that the packages of one environment unpack to (bytes)."
    )
    max_files: int = Field(default=200_000, ge=1000, description="Most files of one environment.")

    def anchored(self, folder: Path) -> Self:
        return self.model_copy(update={"wheelhouse": tuple(absolute(folder, path) for path in self.wheelhouse)})


class InstallationSettings(Table):
    config: dict[str, Any] = Field(default={}, description="Settings of the plugin, checked against its schema.")
    grant: tuple[str, ...] = Field(default=(), description="Capabilities granted when it is first installed.")
    start: Literal["zygote", "fresh"] | None = Field(
        default=None, description='"fresh": own process image, not a fork.'
    )
    sandbox: Level | None = Field(default=None, description="In place of sandbox.require.")
    cpus: float | None = Field(default=None, gt=0, le=4096, description="In place of sandbox.cpus.")
    replicas: int | None = Field(
        default=None, ge=1, le=64, description="Workers at a time. Default: what `moorage scale` said, or 1."
    )
    idle_stop: timedelta | None = Field(
        default=None, ge=timedelta(0), description="In place of supervision.idle_stop (seconds)."
    )
    calls_per_second: float | None = Field(
        default=None, gt=0, le=1_000_000, description="Calls through the gate, in place of the manifest's limit."
    )
    calls_in_flight: int | None = Field(
        default=None, ge=1, le=100_000, description="Calls at one time, in place of the manifest's limit."
    )
    bytes_per_second: int | None = Field(
        default=None, ge=1024, description="Of requests and replies together, in place of the manifest's limit."
    )

    def quota(self, limits: Limits) -> Limits:
        """The manifest's limits, with what the operator set in the place of them."""
        names = ("calls_per_second", "calls_in_flight", "bytes_per_second")
        given = {name: getattr(self, name) for name in names}
        return replace(limits, **{name: value for name, value in given.items() if value is not None})

    shared_secrets: tuple[str, ...] = Field(
        default=(), description="Names of the operator's shared secrets that it may use, where it has no own ones."
    )
    policy: PolicySettings = PolicySettings()
    triggers: dict[str, TriggerSettings] = Field(
        default={}, description="Its triggers by name: further ones, or parts of those that its plugin declares."
    )


class SupervisionSettings(Table):
    restarts: int = Field(
        default=5,
        ge=0,
        description="Restarts of one installation within the window; the next death puts it in quarantine.",
    )
    window: timedelta = Field(
        default=timedelta(minutes=5), gt=timedelta(0), description="How long a death counts (seconds)."
    )
    stable_after: timedelta = Field(
        default=timedelta(minutes=1),
        gt=timedelta(0),
        description="A worker that was ready for so long has proved itself; earlier deaths are forgotten (seconds).",
    )
    backoff_first: timedelta = Field(
        default=timedelta(milliseconds=200),
        ge=timedelta(0),
        description="Wait before the first restart, doubled with each further one, and jittered (seconds).",
    )
    backoff_most: timedelta = Field(
        default=timedelta(seconds=30), ge=timedelta(0), description="Longest wait before a restart (seconds)."
    )
    idle_stop: timedelta = Field(
        default=timedelta(0),
        ge=timedelta(0),
        description="Stop an installation that nobody has needed for so long; 0: never (seconds).",
    )
    usage_interval: timedelta = Field(
        default=timedelta(seconds=5),
        gt=timedelta(0),
        description="Between two looks at what workers use; longer where looking takes long (seconds).",
    )
    health_interval: timedelta = Field(
        default=timedelta(seconds=10), gt=timedelta(0), description="Between two looks at a worker's health (seconds)."
    )
    health_timeout: timedelta = Field(
        default=timedelta(seconds=5),
        gt=timedelta(0),
        description="How long a plugin's event loop may take to answer before it counts as busy or silent (seconds).",
    )
    silence_limit: timedelta = Field(
        default=timedelta(minutes=5),
        ge=timedelta(0),
        description="A worker that has not answered for so long is killed (seconds); 0: never.",
    )
    unhealthy_limit: timedelta = Field(
        default=timedelta(0),
        ge=timedelta(0),
        description="A worker whose own health hook has said no for so long is stopped (seconds); 0: it is shown only.",
    )
    stop_drain: timedelta = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        description="How long executions may go on when the host stops; what is left then is cancelled (seconds).",
    )
    snapshot_bytes: int = Field(
        default=2 * 1024**3,
        ge=0,
        description="Most that the copy of an installation's private data may take; more is not reloaded in turn.",
    )
    snapshot_files: int = Field(default=100_000, ge=1, description="Most files and folders in such a copy.")
    snapshots_kept: int = Field(default=3, ge=0, description="Copies of private data kept for each installation.")


class Settings(Table):
    """Everything that an operator may set. ``Settings.load`` reads a TOML file."""

    state_dir: Folder = Field(
        default=Path("~/.local/state/moorage").expanduser(), description="Store, venvs, plugin data."
    )
    run_dir: Folder | None = Field(
        default=None, description="Sockets; a short path. Default: below the runtime or temp folder."
    )
    store: StoreSettings = StoreSettings()
    sandbox: SandboxSettings = SandboxSettings()
    plugins: PluginSettings = PluginSettings()
    environments: EnvironmentSettings = EnvironmentSettings()
    sql: dict[str, SqlBackend] = Field(default={}, description="Databases by name; `main` is the default one.")
    kafka: dict[str, KafkaBackend] = Field(
        {"main": KafkaBackend()}, description="Kafka clusters by name; `main` is the default one."
    )
    redis: dict[str, RedisBackend] = Field(
        {"main": RedisBackend()}, description="Redis servers by name; `main` is the default one."
    )
    servicebus: dict[str, ServiceBusBackend] = Field(
        {"main": ServiceBusBackend()},
        description="Azure Service Bus namespaces by name; `main` is the default one.",
    )
    http: HttpSettings = HttpSettings()
    storage: StorageSettings = StorageSettings()
    events: EventsSettings = EventsSettings()
    secrets: SecretsSettings = SecretsSettings()
    installations: dict[str, InstallationSettings] = Field(default={}, description="Settings of single installations.")
    triggers: dict[str, TriggerSettings] = Field(
        default={}, description="Triggers by name that select their installations."
    )
    webhooks: WebhookSettings = WebhookSettings()
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    retention: RetentionSettings = RetentionSettings()
    extensions: ExtensionSettings = ExtensionSettings()
    audit: AuditSettings = AuditSettings()
    supervision: SupervisionSettings = SupervisionSettings()

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Reads a TOML file; relative paths in it count from its folder.

        Raises SettingsInvalid.
        """
        file = Path(path)
        try:
            data = tomllib.loads(file.read_text())
        except OSError as error:
            raise SettingsInvalid(
                f"{file.absolute()} cannot be read: {error.strerror}. Name the host's settings file; "
                "docs/settings.md has an example."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsInvalid(f"{file} is not TOML: {error}") from error
        try:
            return cls.model_validate(data).anchored(file.resolve().parent)
        except ValidationError as error:
            raise SettingsInvalid(sentences(file, error)) from error

    @model_validator(mode="after")
    def _check_run_dir(self) -> Self:
        if len(str(self.sockets)) > 60:
            raise ValueError(f"run_dir {self.sockets} is longer than 60 characters; socket paths would not fit")
        return self

    def anchored(self, folder: Path) -> Self:
        """The same settings with relative paths made absolute, counted from the folder."""
        own = {
            "state_dir": absolute(folder, self.state_dir),
            "run_dir": None if self.run_dir is None else absolute(folder, self.run_dir),
        }
        tables = {name: _anchored(getattr(self, name), folder) for name in type(self).model_fields if name not in own}
        return self.model_copy(update=own | tables)

    def for_development(self, folder: Path) -> Self:
        """Of the same services, for a developer's own plugin: a state folder of its own, and whatever sandbox this
        machine can have.
        """
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        state_dir = self.state_dir / "dev" / f"{folder.name}-{digest}"
        sql = self.sql or {"main": SqlBackend(url=f"sqlite:///{state_dir / 'main.db'}")}
        return self.model_copy(
            update={
                "state_dir": state_dir,
                "run_dir": None,
                "store": StoreSettings(),
                "plugins": PluginSettings(),
                "sandbox": self.sandbox.model_copy(update={"require": "none", "development": True}),
                "sql": sql,
            }
        )

    @property
    def sockets(self) -> Path:
        """Folder of the API's and the workers' sockets."""
        if self.run_dir is not None:
            return self.run_dir
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        digest = hashlib.sha256(str(self.state_dir.absolute()).encode()).hexdigest()[:8]
        return base / f"moorage-{os.getuid()}-{digest}"

    @property
    def first_uid(self) -> int:
        """Another range for each state folder: hosts on one machine must not share user ids. Above what accounts,
        subordinate ids and containers use (systemd's documentation on UIDs and GIDs).
        """
        if self.sandbox.first_uid is not None:
            return self.sandbox.first_uid
        digest = hashlib.sha256(str(self.state_dir.absolute()).encode()).digest()
        return 1_900_000_000 + int.from_bytes(digest[:4], "big") % 200_000 * 1_000

    def required_level(self, installation: str) -> Level:
        """Lowest sandbox level at which an installation may start."""
        own = self.installations.get(installation)
        return self.sandbox.require if own is None or own.sandbox is None else own.sandbox

    def shared_secrets(self, installation: str) -> tuple[str, ...]:
        """Which of the operator's secrets it may use."""
        own = self.installations.get(installation)
        return () if own is None else own.shared_secrets

    def most_cpus(self, installation: str) -> float:
        """CPU cores that an installation may use, where control groups bound them. By default no plugin, however many
        threads it has, can keep the host and the other plugins from theirs.
        """
        own = self.installations.get(installation)
        for given in (None if own is None else own.cpus, self.sandbox.cpus):
            if given is not None:
                return given
        return usable_cores() / 2

    @property
    def key_file(self) -> Path:
        return self.secrets.key_file or self.state_dir / "secrets.keys"

    @property
    def api_socket(self) -> Path:
        return self.sockets / "api.sock"

    @property
    def store_path(self) -> Path:
        return self.state_dir / "moorage.db"


def usable_cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _anchored(value: Any, folder: Path) -> Any:
    """A table, or tables by name; triggers, which are free ones, name no path."""
    if isinstance(value, dict):
        return {name: _anchored(table, folder) for name, table in value.items()}
    return value.anchored(folder) if isinstance(value, Table) else value


_SECONDS = "Input should be a number of seconds, such as 5 or 0.5"
_TABLE = "Input should be a table, with settings of its own"

#: What is wrong in the words of TOML, where pydantic has those of Python.
_WORDS = {
    "time_delta_type": _SECONDS,
    "time_delta_parsing": _SECONDS,
    "model_type": _TABLE,
    "dict_type": _TABLE,
    "tuple_type": "Input should be a list",
    "string_type": "Input should be text, in quotes",
}
#: The same of settings that are written in a way of their own.
_SHAPES = {
    "sandbox.cgroup": "Input should be auto, off, or a folder with its whole path",
    "audit.otlp": "Input should be a URL with a path, such as http://127.0.0.1:4318/v1/logs",
}


def sentences(file: Path, error: ValidationError) -> str:
    """One sentence for each thing that is wrong; an unknown key names the nearest known one."""
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"{file}: unknown setting {place!r}{_nearest(str(problem['loc'][-1]))}")
        else:
            lines.append(f"{file}: {place or 'settings'}: {_wrong(place, problem['type'], problem['msg'])}.")
    return "\n".join(lines)


def _wrong(place: str, kind: str, message: str) -> str:
    return _SHAPES.get(place, message) if kind == "string_pattern_mismatch" else _WORDS.get(kind, message)


def _nearest(key: str) -> str:
    known = {name for table in Table.__subclasses__() for name in table.model_fields}
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else "."
