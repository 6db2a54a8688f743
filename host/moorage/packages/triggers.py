"""What a manifest, a settings file or a person says of a trigger: in parts, each checked by itself, then as a whole.

A part is "kind", "source", "task", "input", "select", or the name of an option. What overrides a trigger says some
parts of it alone, so that an entry need not be a whole trigger; ``whole`` makes one of the parts that count in the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from moorage.errors import Invalid
from moorage.models.manifest import Trigger
from moorage.models.selection import Selector
from moorage.packages.tables import Table, nearest
from moorage.packages.trigger_kinds import COMMON, KINDS, OPTIONS, parse_name, parse_task

#: By name; see above.
Parts = Mapping[str, Any]

#: A sentence, and the key that it is about.
Problems = list[tuple[str, tuple[str, ...]]]

#: A tag that means a start-up trigger of the default task.
AUTO_RUN = "AutoRun"
AUTO_RUN_NAME = "autorun"

#: Of one installation.
MAX_TRIGGERS = 200
MAX_INPUT_CHARACTERS = 64 * 1024

_OWN = ("name", "task", "input")


class TriggerInvalid(Invalid):
    """What was said of a trigger cannot be used; one sentence for each problem."""

    code = "trigger_invalid"


def read_triggers(tool: Table, tags: Iterable[str]) -> tuple[Trigger, ...]:
    """Those of a manifest, each with its name; what is wrong is noted in the table."""
    found: list[Trigger] = []
    for number, entry in enumerate(tool.tables("triggers")):
        if number == MAX_TRIGGERS:
            entry.problem(f"a manifest declares at most {MAX_TRIGGERS} triggers; declare fewer.")
            break
        trigger = _read_trigger(entry)
        if trigger is None:
            continue
        if trigger.name and any(trigger.name == other.name for other in found):
            entry.problem(f"{trigger.name!r} names another trigger already; give this one a name of its own.", "name")
        found.append(trigger)
    if AUTO_RUN in tags and not any(each.kind == "startup" and each.task == "execute" for each in found):
        if any(each.name == AUTO_RUN_NAME for each in found):
            tool.problem(
                f"the tag {AUTO_RUN} declares a trigger named {AUTO_RUN_NAME!r}; name the other one otherwise."
            )
        found.append(Trigger("startup", "", name=AUTO_RUN_NAME))
    return named(found)


def _read_trigger(table: Table) -> Trigger | None:
    """None, and problems noted, where it is none."""
    given = {key: table.raw(key) for key in table}
    parts, problems = _parse(given)
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) != 1:
        found = "it names " + " and ".join(kinds) if kinds else "it names none"
        table.problem(f"a trigger names exactly one of {', '.join(KINDS)}; {found}.")
    problems += _unfit(parts) if "kind" in parts else []
    for sentence, path in problems:
        table.problem(sentence, *path)
    return _made(parts, given.get("name", "")) if "kind" in parts else None


def named(triggers: Iterable[Trigger]) -> tuple[Trigger, ...]:
    """Each with a name: its own, or its kind; the next of that kind get "cron-2", "cron-3"."""
    triggers = tuple(triggers)
    taken = {trigger.name for trigger in triggers if trigger.name}
    found = []
    for trigger in triggers:
        name, number = trigger.name or trigger.kind, 1
        while not trigger.name and name in taken:
            number += 1
            name = f"{trigger.kind}-{number}"
        taken.add(name)
        found.append(replace(trigger, name=name))
    return tuple(found)


def parse_parts(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The parts that an entry says, in their normal spelling. ``what`` names it in sentences: "trigger nightly".

    Raises TriggerInvalid.
    """
    parts, problems = _parse(given)
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) > 1:
        problems.append((f"a trigger is of one kind; it names {' and '.join(kinds)}.", ()))
    if problems:
        raise TriggerInvalid("\n".join(_told(what, sentence, path) for sentence, path in problems))
    return parts


def whole(parts: Parts, name: str, what: str) -> Trigger:
    """The trigger that the parts come to. Raises TriggerInvalid where one is missing, or does not go with its kind."""
    if "kind" not in parts:
        raise TriggerInvalid(
            f"{what}: it says of no kind what it is; write one of {', '.join(KINDS)}, such as cron = '0 6 * * *'."
        )
    problems = _unfit(parts)
    if problems:
        raise TriggerInvalid("\n".join(_told(what, sentence, path) for sentence, path in problems))
    return _made(parts, name)


def parts_of(trigger: Trigger) -> dict[str, Any]:
    """The parts of a whole one."""
    parts: dict[str, Any] = {"kind": trigger.kind, "source": trigger.source, "task": trigger.task}
    if trigger.input is not None:
        parts["input"] = trigger.input
    if trigger.select is not None:
        parts["select"] = trigger.select
    if trigger.kind != "source":
        return parts | dict(trigger.options)
    common = {key: value for key, value in trigger.options.items() if key in COMMON}
    free = {key: value for key, value in trigger.options.items() if key not in COMMON}
    return parts | common | ({"options": free} if free else {})


def merged(base: Parts, over: Parts) -> dict[str, Any]:
    """Part by part; of another kind than before, the options of that one fall away."""
    if over.get("kind", base.get("kind")) == base.get("kind"):
        return {**base, **over}
    kept = {key: value for key, value in base.items() if key not in OPTIONS and key != "source"}
    return {**kept, **over}


def _parse(given: Mapping[str, Any]) -> tuple[dict[str, Any], Problems]:
    parts: dict[str, Any] = {}
    problems: Problems = []
    for key, value in given.items():
        try:
            parts.update(_part(key, value))
        except ValueError as error:
            problems.append((f"{str(error).rstrip('.')}.", (key,)))
        except KeyError:
            known = {*KINDS, *COMMON, *OPTIONS, *_OWN}
            problems.append((f"unknown key{nearest(key, known)}", (key,)))
    if sum(key in KINDS for key in given) > 1:
        parts.pop("kind", None)
    return parts, problems


def _part(key: str, value: Any) -> dict[str, Any]:
    """Raises ValueError; KeyError where there is none of that name."""
    if key in KINDS:
        return {"kind": key, "source": KINDS[key].parse_source(value)}
    if key == "name":
        parse_name(value)
        return {}
    if key == "task":
        return {"task": parse_task(value)}
    if key == "input":
        return {"input": _checked_input(value)}
    if key == "select" and isinstance(value, Selector):
        return {"select": value}
    return {key: (COMMON.get(key) or OPTIONS[key])(value)}


def _checked_input(value: Any) -> Any:
    try:
        size = len(json.dumps(value, default=str))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("an input is made of texts, numbers, true, false, lists and tables") from error
    if size > MAX_INPUT_CHARACTERS:
        raise ValueError(f"an input has at most {MAX_INPUT_CHARACTERS} characters as JSON; this has {size}")
    return value


def _unfit(parts: Parts) -> Problems:
    """Options that its kind does not take."""
    kind = parts["kind"]
    known = {*KINDS[kind].options, *COMMON}
    unknown = [key for key in parts if key in OPTIONS and key not in known]
    problems: Problems = [(f"unknown key{nearest(key, known)}", (key,)) for key in unknown]
    if kind == "redis" and parts.get("mode", "channel") == "channel":
        sentence = "a channel keeps nothing, so this goes with a stream alone; write mode = 'stream', or leave it out."
        problems += [(sentence, (key,)) for key in ("group", "from", "dead_letter", "claim_after") if key in parts]
    return problems


def _made(parts: Parts, name: str) -> Trigger:
    options = {key: parts[key] for key in parts if key in COMMON or (key in OPTIONS and key != "options")}
    return Trigger(
        kind=parts["kind"],
        source=parts["source"],
        task=parts.get("task", "execute"),
        options=dict(parts.get("options", {})) | options,
        name=name,
        input=parts.get("input"),
        select=parts.get("select"),
    )


def _told(what: str, sentence: str, path: tuple[str, ...]) -> str:
    return f"{what}: {'.'.join(path)}{': ' if path else ''}{sentence}"
