"""Secrets, as they are kept and as people are told of them. A value is in neither."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from moorage.models.installation import InstallationId

#: In place of an installation: the operator's, for the installations whose settings name it.
SHARED: InstallationId = ""


class SecretOrigin(StrEnum):
    OPERATOR = "operator"
    #: The plugin wrote it itself: a session that it obtained while it ran.
    PLUGIN = "plugin"


@dataclass(frozen=True)
class SealedSecret:
    """As the store has it."""

    installation: InstallationId
    name: str
    #: Which key opens it.
    key_id: str
    #: Nonce and ciphertext.
    sealed: bytes
    origin: SecretOrigin
    set_by: str
    set_at: datetime


@dataclass(frozen=True)
class SecretInfo:
    """What people may see of one."""

    installation: InstallationId
    name: str
    origin: SecretOrigin
    set_by: str
    set_at: datetime
    #: Why it cannot be opened; empty: it can.
    problem: str = ""
