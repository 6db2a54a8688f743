"""What people see of an installation's rights."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rich.text import Text

from moorage.cli.output import indented, local_time, say, table
from moorage.cli.plain import one_line
from moorage.store.effective import includes
from moorage.web.schemas.grants import Denial, Grant, Use
from moorage.web.schemas.installations import Installation
from moorage_proto.capability import NET_PRIVATE, SANDBOX_VERBS, STORAGE_USE, parse

#: Verbs of which it is not seen when they are used. Nobody should take them for unused.
UNCOUNTED = SANDBOX_VERBS | {NET_PRIVATE, STORAGE_USE}


def print_grants(found: Installation, about: Collection[str] | None = None) -> None:
    """In short. ``about``: the capabilities whose meaning matters now; None: those that open the sandbox, and what is
    dangerous.
    """
    if found.grants:
        table(["CAPABILITY", "GRANTED", "WHY IT IS ASKED FOR"], [_row(grant) for grant in found.grants])
    if found.denials:
        if found.grants:
            say()
        table(["DENIED", "BY", "WHY"], [[each.capability, each.denied_by, each.because] for each in found.denials])
    _print_meanings(
        grant for grant in found.grants if (grant.capability in about if about is not None else grant.widens_sandbox)
    )
    print_dangers(found.dangers)


def print_changed(found: Installation, capabilities: Iterable[str], done: str) -> None:
    """What was done with these, and how what it asks for stands now, as far as they concern it."""
    named = {str(right): right for right in map(parse, capabilities)}
    for text in named:
        say(f"{text} {done}.")
    concerned = [
        grant for grant in found.grants if any(includes(right, parse(grant.capability)) for right in named.values())
    ]
    denials = [denial for denial in found.denials if denial.capability in named and denial.because]
    for denial in denials:
        indented(denial.because, "dim")
    if concerned:
        say()
        table(["CAPABILITY", "GRANTED", "WHY IT IS ASKED FOR"], [_row(grant) for grant in concerned])


def _print_meanings(grants: Iterable[Grant]) -> None:
    rows: list[list[Text | str]] = [
        [grant.capability, Text(one_line(grant.meaning), _style(grant))] for grant in grants
    ]
    if rows:
        say()
        table(["CAPABILITY", "WHAT IT MEANS"], rows)


def _style(grant: Grant) -> str:
    return "yellow" if grant.widens_sandbox else ""


def print_rights(found: Installation) -> None:
    """Each right in plain sentences."""
    groups = {
        f"{found.id} may:": [grant for grant in found.grants if grant.granted],
        f"{found.id} asks for, and may not:": [each for each in found.grants if each.requested and not each.granted],
        "It was granted, and is not asked for any more:": [each for each in found.grants if not each.requested],
    }
    shown = [(heading, grants) for heading, grants in groups.items() if grants]
    for number, (heading, grants) in enumerate(shown):
        if number:
            say()
        _print_all(heading, grants)
    if found.denials:
        if shown:
            say()
        say("Denied, whatever is granted:", "bold")
        for denial in found.denials:
            _print_denial(denial)
    print_dangers(found.dangers)
    if not (found.grants or found.denials):
        say(f"{found.id} asks for nothing, and nothing is denied.")


def print_use(name: str, use: Use) -> None:
    """Which rights are used, and what the calls come to."""
    if use.grants:
        rows = [[each.capability, f"{each.uses:,}", _last_use(each)] for each in use.grants]
        table(["GRANTED", "USES", "LAST USE"], rows, right=(1,), whole=(0,))
    unused = [grant.capability for grant in use.grants if not grant.uses and _is_counted(grant)]
    if unused:
        say(f"\nTake back what is not needed: moorage revoke {name} {' '.join(map(_quoted, unused))}", "yellow")
    if use.since is None:
        say(f"\n{name} has made no call since the host started.")
        return
    say(f"\nCalls since {local_time(use.since)}:")
    table(
        ["METHOD", "CALLS", "DENIED", "BYTES IN", "BYTES OUT"],
        [
            [each.method or "(unknown)", *(f"{n:,}" for n in (each.calls, each.denied, each.bytes_in, each.bytes_out))]
            for each in use.methods
        ],
        right=(1, 2, 3, 4),
    )


def _last_use(grant: Grant) -> str:
    if grant.used_at is not None:
        return local_time(grant.used_at)
    if grant.widens_sandbox:
        return "at each start"
    if not _is_counted(grant):
        return "not counted"
    since = f" since {local_time(grant.granted_at)}" if grant.granted_at is not None else ""
    return f"never used{since}"


def _is_counted(grant: Grant) -> bool:
    """Whether it would be seen when it is used: what no call asks for is not."""
    return parse(grant.capability).verb not in UNCOUNTED


def _quoted(capability: str) -> str:
    return "'{}'".format(capability.replace("'", "'\"'\"'"))


def print_dangers(dangers: Iterable[str]) -> None:
    for danger in dangers:
        say(f"\nDANGEROUS: {danger}", "bold yellow")


def _print_all(heading: str, grants: Iterable[Grant]) -> None:
    say(heading, "bold")
    for grant in grants:
        say(Text.assemble("  ", one_line(grant.capability), "  ", (one_line(_standing(grant)), "dim")))
        indented(grant.meaning)
        if grant.because:
            indented(
                f"{'required' if grant.required else 'optional'}: {grant.because}" if grant.requested else "", "dim"
            )


def _print_denial(denial: Denial) -> None:
    when = f"by {denial.denied_by}, {local_time(denial.denied_at)}"
    say(Text.assemble("  ", one_line(denial.capability), "  ", (one_line(when), "dim")))
    if denial.because:
        indented(denial.because, "dim")


def _standing(grant: Grant) -> str:
    """Who granted it, or what is in its way."""
    if grant.denied_by:
        return f"denied by {grant.denied_by}"
    if not grant.granted_by:
        return "" if grant.granted else "not granted"
    words = [f"granted by {grant.granted_by}"]
    if grant.granted_at is not None:
        words.append(local_time(grant.granted_at))
    if grant.fail_closed:
        words.append("refused while the audit cannot be written")
    return ", ".join(words)


def _row(grant: Grant) -> list[Text | str]:
    if grant.granted:
        granted = Text(one_line(f"by {grant.granted_by}" if grant.granted_by else "yes"), "green")
    elif grant.denied_by:
        granted = Text("denied", "red")
    elif not grant.requested:
        granted = Text(one_line(f"by {grant.granted_by}, without effect"), "dim")
    else:
        granted = Text("no, required" if grant.required else "no, optional", "yellow" if grant.required else "dim")
    return [grant.capability, granted, grant.because]
