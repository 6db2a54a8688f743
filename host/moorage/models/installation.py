"""An installation: a plugin version put to use under a name."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Mapping

from moorage.models.manifest import Manifest

#: The installation's name; the key everywhere: on the wire, in stores, in metrics.
InstallationId = str


@dataclass(frozen=True)
class DesiredState:
    """What people want of an installation; the reconcile loop closes the difference to what is."""

    enabled: bool = True
    #: Why a person holds it stopped; empty: not held.
    held_reason: str = ""
    held_by: str = ""
    replicas: int = 1
    #: The verdict that put it in quarantine; empty: not quarantined.
    quarantined: str = ""
    #: How the switch for all installations was switched off ("switched off by dana: maintenance"); empty: it is on. No
    #: part of what is wanted of this one, but read with it, so that whoever asks whether it may work asks that too.
    switched_off: str = ""

    @property
    def runnable(self) -> bool:
        return self.enabled and not self.held_reason and not self.quarantined and not self.switched_off


@dataclass(frozen=True)
class Revision:
    """Of what all hosts of a store share of an installation."""

    #: Grows with each change of it.
    number: int
    #: Grows with each change of what it may do.
    grants_epoch: int


@dataclass(frozen=True)
class Installation:
    id: InstallationId
    manifest: Manifest
    #: Where it was installed from: a folder or file of the operator's.
    source_path: Path
    #: The host-owned copy that workers run.
    code_path: Path
    #: SHA-256 of the copied tree, hexadecimal.
    code_hash: str
    #: Folders below code_path that go on sys.path; "" is code_path itself.
    code_roots: tuple[str, ...]
    #: Key of its venv: hash of Python version and resolved lock.
    venv_key: str
    #: The operator's settings for it, validated against the manifest's schema.
    config: Mapping[str, Any] = field(default_factory=dict)
    desired: DesiredState = field(default_factory=DesiredState)
    #: The uid of its workers when the host runs as root; persisted, never reused while data remains.
    uid: int | None = None
    #: "zygote" or "fresh"; None: as the lock demands.
    start: str | None = None
    installed_at: datetime | None = None
