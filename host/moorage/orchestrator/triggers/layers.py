"""Triggers in layers: what the manifest says, then what the settings say of the same name, part by part. Pure.

What people change at run time is a third layer, which the store holds with the trigger: ``origins`` says of each part
whose word it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moorage.models.installation import InstallationId
from moorage.models.manifest import Trigger
from moorage.models.policy import Origin
from moorage.models.trigger import Declaration, TriggerId, TriggerState
from moorage.packages.triggers import Parts, TriggerInvalid, merged, named, parts_of, whole

#: Parts by the name of their trigger.
Entries = Mapping[str, Parts]


@dataclass(frozen=True)
class Layered:
    """What is declared under one name, all layers together."""

    id: TriggerId
    #: Empty: it selects.
    installation: InstallationId
    #: Of an invalid one, the nearest thing to it.
    trigger: Trigger
    #: The last layer that says something.
    origin: Origin
    #: By part.
    origins: Mapping[str, Origin] = field(default_factory=dict)
    #: Why the layers come to no trigger; empty: they do.
    problem: str = ""

    @property
    def declaration(self) -> Declaration:
        return Declaration(self.id, self.trigger, self.origin, self.installation)


def identity(installation: InstallationId, name: str) -> TriggerId:
    """ "churn/nightly"; of one that selects: "nightly"."""
    return f"{installation}/{name}" if installation else name


def layered(
    installation: InstallationId, manifest: Iterable[Trigger], settings: Entries, application: Iterable[Trigger] = ()
) -> tuple[Layered, ...]:
    """The declared triggers of an installation, in the order of the manifest, then of the settings, then the rest.

    ``application``: what the embedding application adds; of the name of one that is declared elsewhere, it is that one
    that counts.
    """
    own = {trigger.name: trigger for trigger in named(manifest)}
    found = [_layered(installation, name, parts_of(trigger), settings.get(name)) for name, trigger in own.items()]
    found += [_layered(installation, name, None, entry) for name, entry in settings.items() if name not in own]
    there = {each.trigger.name for each in found}
    return (*found, *(_added(installation, trigger) for trigger in application if trigger.name not in there))


def origins(declared: Layered | None, state: TriggerState) -> dict[str, Origin]:
    """Whose word each part of a stored trigger is."""
    known = dict(declared.origins) if declared is not None else dict.fromkeys(parts_of(state.trigger), state.origin)
    changed = {part: Origin.PERSON for part in state.changes if state.origin is not Origin.PERSON}
    return known | changed


def by_manifest(found: Mapping[str, Origin]) -> bool:
    """Whether it is the plugin's own word where the signals come from: it needs a right for that."""
    return found.get("source", Origin.MANIFEST) is Origin.MANIFEST


def _layered(installation: InstallationId, name: str, base: Parts | None, over: Parts | None) -> Layered:
    layers = [(origin, parts) for origin, parts in ((Origin.MANIFEST, base), (Origin.SETTINGS, over)) if parts]
    together: Parts = {}
    whose: dict[str, Origin] = {}
    for origin, parts in layers:
        together = merged(together, parts)
        whose |= dict.fromkeys(parts, origin)
    last = layers[-1][0] if layers else Origin.SETTINGS
    ident = identity(installation, name)
    try:
        trigger, problem = whole(together, name, f"trigger {ident}"), ""
    except TriggerInvalid as error:
        trigger, problem = _nearest_to(together, name), str(error)
    return Layered(ident, installation, trigger, last, {part: whose[part] for part in together}, problem)


def _nearest_to(parts: Parts, name: str) -> Trigger:
    return Trigger(
        parts.get("kind", ""),
        parts.get("source", ""),
        parts.get("task", "execute"),
        name=name,
        input=parts.get("input"),
        select=parts.get("select"),
    )


def _added(installation: InstallationId, trigger: Trigger) -> Layered:
    origin = Origin.APPLICATION
    return Layered(
        identity(installation, trigger.name), installation, trigger, origin, dict.fromkeys(parts_of(trigger), origin)
    )
