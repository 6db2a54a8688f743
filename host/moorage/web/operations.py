"""What the API and the CLI can ask of a host. The composition root implements it; nothing here knows how."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from moorage.config.settings import Settings
from moorage.models.audit import AuditEntry, AuditKind, ChainReport, SinkState
from moorage.models.config import ConfigOrder, ConfigView
from moorage.models.execution import Execution, ExecutionHistory, ExecutionRequest, ExecutionState
from moorage.models.extensions import ExtensionPointView
from moorage.models.grants import GrantOrder
from moorage.models.installation import Installation, InstallationId
from moorage.models.levels import LevelSetting
from moorage.models.log import LogLine
from moorage.models.manifest import ReloadMode
from moorage.models.policy import PolicyValue
from moorage.models.reload import ReloadReport
from moorage.models.retention import Retained, RetentionReport
from moorage.models.secret import SecretInfo
from moorage.models.selected import SelectedRuns
from moorage.models.selection import Selector
from moorage.models.sql import SqlBackendView
from moorage.models.storage import DataFate, RemovalReport, SnapshotView, StorageUse
from moorage.models.switch import SwitchState
from moorage.models.trigger import TriggerId, TriggerView
from moorage.models.use import UseView
from moorage.models.views import BrokenPlugin, GrantPreview, InstallationView, StopReport
from moorage.models.why import Why, WorkerStack
from moorage.orchestrator.triggers.webhook import Request as WebhookRequest
from moorage_sandbox.report import SandboxReport

#: Called with a sentence at each step of long work.
Progress = Callable[[str], None]


class GrantOperations(Protocol):
    async def grant(self, name: str, order: GrantOrder, *, by: str = "") -> InstallationView: ...

    async def preview(self, name: str, order: GrantOrder) -> GrantPreview:
        """What granting it would come to; changes nothing."""

    async def revoke(self, name: str, capabilities: Iterable[str], *, by: str = "") -> InstallationView: ...

    async def deny(
        self, name: str, capabilities: Iterable[str], *, because: str = "", by: str = ""
    ) -> InstallationView:
        """A deny rule beats every grant."""

    async def undeny(self, name: str, capabilities: Iterable[str], *, by: str = "") -> InstallationView: ...

    async def use(self, name: str) -> UseView:
        """What it makes of its rights. Afterwards its grants tell of all calls before."""


class ConfigOperations(Protocol):
    async def show(self, name: str) -> ConfigView:
        """Every setting, with where it comes from."""

    async def change(self, name: str, order: ConfigOrder, *, by: str = "") -> ConfigView:
        """Stored, then told to the workers; what they made of it is in the view."""


class LevelOperations(Protocol):
    async def show(self, name: str) -> tuple[LevelSetting, ...]:
        """What was set of its loggers."""

    async def set(
        self, name: str, level: int, *, logger: str = "", duration: timedelta | None = None, by: str = ""
    ) -> tuple[LevelSetting, ...]:
        """Of one logger, or of all that have none of their own."""

    async def reset(self, name: str, *, logger: str | None = None, by: str = "") -> tuple[LevelSetting, ...]:
        """Takes one back, or all."""


class TriggerOperations(Protocol):
    """Ids: "installation/name", or "name" of one that selects its installations."""

    async def list(self, installation: InstallationId | None = None) -> tuple[TriggerView, ...]:
        """All, or those of one installation; each with its next run."""

    async def show(self, trigger: TriggerId) -> TriggerView:
        """With its next runs, and with those that it selects."""

    async def pause(self, trigger: TriggerId, *, reason: str = "", by: str = "") -> TriggerView: ...

    async def resume(self, trigger: TriggerId, *, by: str = "") -> TriggerView: ...

    async def add(self, installation: InstallationId, given: Mapping[str, Any], *, by: str = "") -> TriggerView:
        """As a manifest writes it; of one that selects, the installation is empty."""

    async def change(
        self, trigger: TriggerId, given: Mapping[str, Any], *, unset: Collection[str] = (), by: str = ""
    ) -> TriggerView: ...

    async def reset(self, trigger: TriggerId, *, by: str = "") -> TriggerView:
        """Takes back all that people changed."""

    async def remove(self, trigger: TriggerId, *, by: str = "") -> None:
        """One that is declared counts no more, until it is reset."""

    async def fire(self, trigger: TriggerId, *, by: str = "") -> tuple[Execution, ...]:
        """What it starts, now."""


class PolicyOperations(Protocol):
    async def show(self, name: str) -> tuple[PolicyValue, ...]:
        """Every value, with where it comes from."""

    async def change(
        self, name: str, given: Mapping[str, Any], *, reset: Collection[str] = (), by: str = ""
    ) -> tuple[PolicyValue, ...]:
        """Counts for what begins from now on."""


class StorageOperations(Protocol):
    """What changes the data waits until nothing of the installation runs; what comes meanwhile waits for it."""

    async def usage(self, name: str) -> StorageUse: ...

    async def snapshots(self, name: str) -> tuple[SnapshotView, ...]:
        """Newest first."""

    async def snapshot(self, name: str, *, by: str = "") -> SnapshotView: ...

    async def restore(self, name: str, snapshot: str = "", *, by: str = "") -> SnapshotView:
        """The newest, if none is named."""

    async def delete(self, name: str, *, by: str = "") -> None:
        """The data and every copy of it."""

    async def export(self, name: str, *, by: str = "") -> AsyncGenerator[bytes, None]:
        """A tar, in chunks."""


class SecretOperations(Protocol):
    """No method gives a value away. The installation ``SHARED`` stands for the operator's own secrets."""

    async def list(self, installation: InstallationId | None = None) -> tuple[SecretInfo, ...]:
        """Of one installation; without one, all."""

    async def set(self, installation: InstallationId, name: str, value: str, *, by: str = "") -> SecretInfo:
        """In the place of the one before."""

    async def delete(self, installation: InstallationId, name: str, *, by: str = "") -> None: ...

    async def rotate(self, *, by: str = "") -> int:
        """Seals all with a new key; returns how many."""


class AuditOperations(Protocol):
    async def read(
        self,
        *,
        installation: str | None = None,
        kind: AuditKind | None = None,
        capability: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        after: int = 0,
        limit: int = 200,
        oldest: bool = False,
    ) -> tuple[AuditEntry, ...]:
        """Oldest first, with ids greater than `after`; without it, the newest `limit`, or with ``oldest`` the first.

        In ``capability`` a star stands for any characters.
        """

    async def verify(self) -> ChainReport:
        """Reads all that is stored, and follows its chain."""

    async def sinks(self) -> tuple[SinkState, ...]:
        """Where it goes, and how that is; the store's first."""


class WebhookOperations(Protocol):
    async def receive(self, installation: InstallationId, name: str, request: WebhookRequest) -> Execution:
        """What it has started, or had started when it came before. Raises WebhookRefused."""


class RetentionOperations(Protocol):
    async def show(self) -> tuple[Retained, ...]:
        """What the store keeps of what happened, and how much there is."""

    async def run(self, *, by: str = "") -> RetentionReport:
        """Deletes what is too old or too much, now."""


class SqlOperations(Protocol):
    def backends(self) -> tuple[SqlBackendView, ...]: ...

    async def plan(self, backend: str) -> str:
        """The SQL that gives the roles of the present installations what they lack; empty: there is nothing to run."""


class SwitchOperations(Protocol):
    """The switch for all installations at one time; it survives restarts."""

    async def state(self) -> SwitchState: ...

    async def off(self, *, reason: str = "", by: str = "") -> tuple[StopReport, ...]:
        """Nothing opens a scope any more; returns when what ran has finished and no worker is left."""

    async def on(self, *, reason: str = "", by: str = "") -> SwitchState:
        """What was up before comes up again after this has returned."""


class ExtensionOperations(Protocol):
    async def list(self) -> tuple[ExtensionPointView, ...]:
        """All that the application declares, with who implements them and how calls of them went."""


class Operations(Protocol):
    """Every method raises MoorageErrors (moorage.errors) whose text is whole sentences."""

    @property
    def settings(self) -> Settings: ...

    @property
    def switch(self) -> SwitchOperations: ...

    @property
    def config(self) -> ConfigOperations: ...

    @property
    def log_levels(self) -> LevelOperations: ...

    @property
    def triggers(self) -> TriggerOperations: ...

    @property
    def policies(self) -> PolicyOperations: ...

    @property
    def secrets(self) -> SecretOperations: ...

    @property
    def storage(self) -> StorageOperations: ...

    @property
    def webhooks(self) -> WebhookOperations: ...

    @property
    def sql(self) -> SqlOperations: ...

    @property
    def retention(self) -> RetentionOperations: ...

    @property
    def extensions(self) -> ExtensionOperations: ...

    async def install(
        self,
        path: Path,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        grant: Iterable[str] = (),
        by: str = "",
        progress: Progress | None = None,
    ) -> Installation:
        """Installs the plugin project in a folder, or brings an existing installation to that folder's version."""

    async def installations(
        self, *, look: bool = False, enabled: bool | None = None, select: Selector | None = None
    ) -> tuple[InstallationView, ...]:
        """By name; those alone that fit. With ``look``, what their workers use is looked at now."""

    async def select(self, selector: Selector) -> tuple[InstallationView, ...]:
        """Those that fit, by name, whether or not they may run."""

    async def broken(self) -> tuple[BrokenPlugin, ...]:
        """Folders of the last scan that could not be used."""

    async def installation(self, name: str) -> InstallationView: ...

    async def why(self, name: str) -> Why:
        """What it does now, or why it does nothing; what changed last; what to do."""

    async def stack(self, name: str) -> tuple[WorkerStack, ...]:
        """What all threads of its workers do, now."""

    async def submit(self, request: ExecutionRequest) -> Execution:
        """Accepts the execution and returns at once; it is queued or already rejected."""

    async def run(self, request: ExecutionRequest) -> Execution:
        """Submits, and returns when there is an outcome."""

    async def submit_all(self, selector: Selector, request: ExecutionRequest) -> SelectedRuns:
        """The same of each installation that fits; what one cannot accept keeps none of the others."""

    async def run_all(self, selector: Selector, request: ExecutionRequest) -> SelectedRuns:
        """As ``submit_all``; returns when each has its outcome."""

    async def execution(self, execution_id: str) -> Execution: ...

    async def execution_history(self, execution_id: str) -> ExecutionHistory:
        """Its attempts, and where its lines are in the log."""

    async def executions(
        self,
        *,
        installation: str | None = None,
        state: ExecutionState | None = None,
        trigger: str | None = None,
        since: datetime | None = None,
        before: str = "",
        limit: int = 50,
    ) -> tuple[Execution, ...]:
        """Newest first, without inputs, results and tracebacks; with ids less than ``before``."""

    async def retry(self, execution_id: str, *, by: str = "") -> Execution:
        """A new execution of what an ended one did."""

    async def cancel(self, execution_id: str, *, by: str = "") -> Execution: ...

    async def remove(self, name: str, *, data: DataFate | None = None, by: str = "") -> RemovalReport:
        """It goes; ``data`` says what becomes of its private data, where there is any."""

    async def start(self, name: str, *, by: str = "") -> InstallationView:
        """Returns when a worker is ready."""

    async def stop(self, name: str, *, by: str = "", hold: str = "") -> StopReport:
        """Drains and stops; with a reason to hold, it stays stopped until released."""

    async def release(self, name: str, *, by: str = "", reason: str = "") -> InstallationView:
        """Ends a hold or a quarantine; what was up before is up again then."""

    async def enable(self, name: str, *, by: str = "", reason: str = "") -> InstallationView:
        """As ``release``, after ``disable``."""

    async def disable(self, name: str, *, by: str = "", reason: str = "") -> StopReport:
        """It takes no new work; returns when what runs has finished and its workers are gone."""

    async def scale(self, name: str, replicas: int, *, by: str = "") -> InstallationView:
        """How many workers it has when it is up."""

    async def kill(self, name: str, *, by: str = "") -> StopReport: ...

    async def reload(
        self,
        name: str,
        *,
        mode: ReloadMode | None = None,
        start: bool = False,
        grant: Iterable[str] = (),
        grant_required: bool = False,
        by: str = "",
        progress: Progress | None = None,
    ) -> ReloadReport:
        """Puts what its folder holds now in the place of what runs. With ``start``, also where nothing runs."""

    async def restart(
        self, name: str, *, mode: ReloadMode | None = None, by: str = "", progress: Progress | None = None
    ) -> ReloadReport:
        """Puts new workers of the same version in the place of those that run; what does not run is started."""

    async def unload_all(self, *, by: str = "") -> tuple[StopReport, ...]: ...

    @property
    def grants(self) -> GrantOperations: ...

    @property
    def audit_trail(self) -> AuditOperations: ...

    async def logs(
        self, *, installation: str | None = None, execution: str | None = None, after: int = 0, limit: int = 200
    ) -> tuple[LogLine, ...]:
        """Oldest first, with ids greater than `after`; without it, the newest `limit`."""

    def follow_logs(self, *, installation: str | None = None) -> AsyncIterator[LogLine]:
        """New lines as they come; a follower that does not keep up misses lines, and is told how many."""

    async def sandbox_report(self) -> SandboxReport: ...
