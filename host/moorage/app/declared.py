"""What the settings file says of triggers and policies, checked as a whole when the host starts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moorage.config.orchestration import TriggerSettings
from moorage.config.settings import Settings, SettingsInvalid
from moorage.errors import Invalid
from moorage.models.installation import InstallationId
from moorage.models.manifest import Trigger
from moorage.models.selection import SelectorInvalid, parse_selector
from moorage.orchestrator.triggers.layers import Entries
from moorage.orchestrator.triggers.registry import Declared
from moorage.packages.policies import parse_policy
from moorage.packages.trigger_kinds import parse_name
from moorage.packages.triggers import TriggerInvalid, parse_parts, whole


def triggers_of(settings: Settings) -> Declared:
    """Raises SettingsInvalid, with a sentence for each thing that is wrong."""
    problems: list[str] = []
    own = {
        name: _entries(options.triggers, f"installations.{name}.triggers", _entry, problems)
        for name, options in settings.installations.items()
        if options.triggers
    }
    selecting = _entries(settings.triggers, "triggers", _selecting, problems)
    if problems:
        raise SettingsInvalid("\n".join(problems))
    return Declared(own, selecting)


def policies_of(settings: Settings) -> dict[InstallationId, dict[str, Any]]:
    """Values by key, of each installation that the settings say something of. Raises SettingsInvalid."""
    try:
        return {
            name: parse_policy(options.policy.given(), f"installations.{name}.policy")
            for name, options in settings.installations.items()
        }
    except Invalid as error:
        raise SettingsInvalid(str(error)) from error


def with_selector(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What was written of a trigger, with what it selects as a selector. Raises TriggerInvalid."""
    if "select" not in given:
        return dict(given)
    try:
        return {**given, "select": parse_selector(given["select"], f"{where}.select")}
    except SelectorInvalid as error:
        raise TriggerInvalid(str(error)) from error


def trigger_from(given: Mapping[str, Any], *, selects: bool) -> Trigger:
    """What a person or an application says of a whole trigger; without a name where nothing says one.

    ``selects``: it is for those that it selects, and not for one installation. Raises TriggerInvalid.
    """
    what = f"trigger {given['name']}" if given.get("name") else "trigger"
    parts = parse_parts(with_selector(given, what), what)
    if selects != ("select" in parts):
        raise TriggerInvalid(f"{what}: it belongs to an installation, or selects several (select); say one of the two.")
    return whole(parts, str(given.get("name", "")), what)


def _entries(
    given: Mapping[str, TriggerSettings], where: str, read: Callable[..., dict[str, Any]], problems: list[str]
) -> Entries:
    found = {}
    for name, entry in given.items():
        try:
            parse_name(name)
            found[name] = read(entry, name, f"{where}.{name}")
        except ValueError as error:
            problems.append(f"{where}: {str(error).rstrip('.')}.")
        except TriggerInvalid as error:
            problems += str(error).splitlines()
    return found


def _entry(given: TriggerSettings, _: str, where: str) -> dict[str, Any]:
    """Of an installation's: parts alone, or a whole trigger. Which of the two, its manifest decides."""
    if "select" in given:
        raise TriggerInvalid(
            f"{where}.select: this trigger belongs to one installation. One that selects stands in [triggers.NAME]."
        )
    return parse_parts({key: value for key, value in given.items() if key != "name"}, where)


def _selecting(given: TriggerSettings, name: str, where: str) -> dict[str, Any]:
    parts = parse_parts(with_selector(given, where), where)
    if "select" not in parts:
        raise TriggerInvalid(
            f"{where}: it says of no installation that it is for; write select = {{ tags = [...] }}, or put it into"
            f" [installations.NAME.triggers.{name}]."
        )
    whole(parts, name, where)
    return parts
