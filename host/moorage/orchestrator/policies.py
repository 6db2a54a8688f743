"""The policy that a plugin declares. Pure; settings and people's changes are laid over it elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from moorage.models.installation import Installation
from moorage.models.manifest import Manifest
from moorage.models.policy import RunPolicy
from moorage.orchestrator.policy_layers import layered, policy

#: The policy that counts for an installation now. Asked at each beginning: it must be quick.
PolicyOf = Callable[[Installation], RunPolicy]


def manifest_policy(manifest: Manifest) -> RunPolicy:
    """``[tool.moorage.policy]``, over the concurrency and the timeout of ``[tool.moorage.limits]``."""
    return policy(layered(manifest, {}, ()))


def declared_policy(installation: Installation) -> RunPolicy:
    """Where nobody says anything else."""
    return manifest_policy(installation.manifest)
