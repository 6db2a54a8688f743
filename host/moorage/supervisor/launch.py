"""What one start of a worker needs to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from moorage.models.installation import Installation
from moorage.supervisor.disk import DataLimit
from moorage.supervisor.health import HealthPolicy
from moorage.supervisor.launcher import WorkerOrder
from moorage_proto.capability import Grants


@dataclass(frozen=True)
class Launch:
    """Beyond the host's own parts."""

    installation: Installation
    number: int
    #: Complete but for what the incarnation makes itself: start record and output pipes.
    order: WorkerOrder
    grants: Grants
    python: str
    #: What its data folder may hold with these grants, or others that come later.
    data_limit: Callable[[Grants], DataLimit] = lambda _: DataLimit(2**20, 10_000)
    health: HealthPolicy = field(default_factory=HealthPolicy)
    #: What the worker before left for this one (``export_state``), of a reload alone; the version that was ready last.
    state: bytes | None = None
    from_version: str = ""
