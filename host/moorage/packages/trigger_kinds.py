"""The kinds of triggers: what names each, and which options each takes. Pure."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from moorage.models.execution import ExecutionState
from moorage.models.policy import Overlap
from moorage.packages.cron import parse_cron
from moorage.packages.tables import one_of
from moorage.packages.units import format_duration, parse_duration

_TASK = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_BACKEND = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")  # Kafka's own rule
_CHANNEL = re.compile(r"[\x21-\x7e]{1,512}")
_ENTITY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,258}[A-Za-z0-9])?")
_EVENT = re.compile(r"[a-z0-9_]+(?:\.(?:[a-z0-9_]+|\*{1,2}))*")
_WEBHOOK = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_FOLLOWED = re.compile(r"[a-z0-9*.-]{1,64}(?:/[a-z0-9_*]{1,64})?")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}")

_SHORTEST = timedelta(seconds=1)
#: Longer is a mistake: years of silence look like a trigger that is broken.
_LONGEST = timedelta(days=3660)

MOST_ATTEMPTS = 1_000
#: Free options of an application's source.
_MOST_OPTIONS = 50

Parser = Callable[[Any], Any]

parse_task = one_of(_TASK, "a task is named as a Python function: small letters, digits and '_'")
parse_name = one_of(_NAME, "a trigger is named with small letters, digits, '-' and '_', at most 64 of them")


def parse_interval(found: Any) -> str:
    """A duration of at least a second, in its normal spelling. Raises ValueError."""
    duration = parse_duration(found)
    if duration < _SHORTEST:
        raise ValueError(f"{found!r} is too short; an interval is at least 1 s")
    if duration > _LONGEST:
        raise ValueError(f"{found!r:.40} is too long; an interval is at most {format_duration(_LONGEST)}")
    return format_duration(duration)


def parse_timezone(found: Any) -> str:
    """Raises ValueError."""
    if isinstance(found, str) and found in zoneinfo.available_timezones():
        return found
    raise ValueError(f"{found!r:.80} is not a time zone; write a name such as 'Europe/Berlin' or 'UTC'")


def _parse_startup(found: Any) -> str:
    if found is not True and found != "":
        raise ValueError("startup is either true or left out")
    return ""


def _parse_bool(found: Any) -> bool:
    if not isinstance(found, bool):
        raise ValueError(f"{found!r:.40} has to be true or false")
    return found


def _parse_attempts(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= MOST_ATTEMPTS:
        raise ValueError(f"{found!r:.40} is no number of attempts; write 1 to {MOST_ATTEMPTS}")
    return found


def _parse_states(found: Any) -> tuple[str, ...]:
    known = [state.value for state in ExecutionState if state.is_outcome]
    if not isinstance(found, (list, tuple)) or not found or any(each not in known for each in found):
        raise ValueError(f"{found!r:.80} is no list of outcomes; write some of {', '.join(known)}")
    return tuple(dict.fromkeys(found))


def _parse_free(found: Any) -> dict[str, Any]:
    if not isinstance(found, Mapping) or len(found) > _MOST_OPTIONS:
        raise ValueError(f"the options of an application's source are a table of at most {_MOST_OPTIONS} keys")
    taken = [key for key in found if key in COMMON]
    if taken:
        raise ValueError(f"{taken[0]!r} belongs beside 'options', not into it")
    return dict(found)


_parse_topic = one_of(_TOPIC, "a topic is written with letters, digits, '.', '_' and '-'")
_parse_channel = one_of(_CHANNEL, "a channel or stream is written in visible ASCII characters")
_parse_entity = one_of(_ENTITY, "a queue or topic is written with letters, digits, '.', '_', '-' and '/'")


def _word(*words: str) -> Parser:
    listed = " or ".join([", ".join(map(repr, words[:-1])), repr(words[-1])])
    return one_of(re.compile("|".join(words)), f"write {listed}")


#: Options that every kind takes.
COMMON: Mapping[str, Parser] = {
    "attempts": _parse_attempts,
    "paused": _parse_bool,
    "overlap": _word(*(each.value for each in Overlap)),
}

#: The others, by name; a name means the same with every kind that takes it.
OPTIONS: Mapping[str, Parser] = {
    "timezone": parse_timezone,
    "jitter": parse_interval,
    "misfire": _word("skip", "once", "all"),
    "misfire_after": parse_interval,
    "backend": one_of(_BACKEND, "a backend is named with small letters, digits, '-' and '_'"),
    "group": one_of(_TOPIC, "a group is written as a topic is: letters, digits, '.', '_' and '-'"),
    "from": _word("earliest", "latest"),
    "mode": _word("channel", "stream"),
    "dead_letter": _parse_channel,
    "claim_after": parse_interval,
    "subscription": one_of(_ENTITY, "a subscription is written as a queue is"),
    "secret": one_of(_SECRET, "it is the name of a secret: letters, digits, '_', '.' and '-'"),
    "signature": _word("moorage", "github"),
    "on": _parse_states,
    "options": _parse_free,
}

_SCHEDULE = ("jitter", "misfire", "misfire_after")


@dataclass(frozen=True)
class Kind:
    parse_source: Parser
    #: Names of the options that it takes besides the common ones.
    options: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "interval": Kind(parse_interval, _SCHEDULE),
    "cron": Kind(parse_cron, ("timezone", *_SCHEDULE)),
    "kafka": Kind(_parse_topic, ("backend", "group", "from", "dead_letter")),
    "redis": Kind(_parse_channel, ("backend", "mode", "group", "from", "dead_letter", "claim_after")),
    "servicebus": Kind(_parse_entity, ("backend", "subscription")),
    "event": Kind(one_of(_EVENT, "an event is named in dotted words, such as 'track.played' or 'track.*'")),
    "webhook": Kind(
        one_of(_WEBHOOK, "a webhook is named with small letters, digits, '-' and '_'"), ("secret", "signature")
    ),
    "startup": Kind(_parse_startup),
    "outcome": Kind(one_of(_FOLLOWED, "write an installation, or 'installation/task'; '*' stands for any"), ("on",)),
    "source": Kind(one_of(_WEBHOOK, "a source is named with small letters, digits, '-' and '_'"), ("options",)),
}
