"""The part of a worker's plan that a fresh interpreter reads. It imports little: that worker waits for each import."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, Tuple

from moorage_sandbox.seccomp import Variant


@dataclass(frozen=True)
class ProgramPlan:
    """What a worker's interpreter looks like to the plugin."""

    #: "module:function".
    entry: str
    env: Tuple[Tuple[str, str], ...]
    sys_path: Tuple[str, ...]
    site_packages: str
    #: Entries after site-packages.
    late_path: Tuple[str, ...]
    work_folder: str
    #: sys.prefix, sys.base_prefix, and the folder of this package, as the worker sees them.
    prefix: str = "/venv"
    base_prefix: str = "/py"
    sdk: str = "/sdk"


@dataclass(frozen=True)
class InnerPlan:
    """The rest of a worker's plan after a fresh interpreter was executed: no path of the host is in it."""

    files: Tuple[Tuple[str, str], ...]
    program: ProgramPlan
    filter: Variant
    #: The one port of its own loopback that it may connect to; 0: none.
    proxy_port: int = 0


def inner_plan_from(data: bytes) -> InnerPlan:
    fields = plain(data)
    variant = Variant(**fields["filter"])
    return InnerPlan(fields["files"], program_from(fields["program"]), variant, fields["proxy_port"])


def program_from(fields: Dict[str, Any]) -> ProgramPlan:
    return ProgramPlan(**{name: frozen(value) for name, value in fields.items()})


def plain(data: bytes) -> Dict[str, Any]:
    return {name: frozen(value) for name, value in json.loads(data).items()}


def frozen(value: Any) -> Any:
    return tuple(frozen(entry) for entry in value) if isinstance(value, list) else value
