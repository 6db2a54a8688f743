"""Brings the spellings of an artist together. Pure."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from rapidfuzz import fuzz, process, utils

#: Of 100. High enough to keep "Can" and "Caetano" apart, low enough to find "The Cure" in "Cure".
SIMILAR = 90


def canonical(names: Iterable[str]) -> Mapping[str, str]:
    """For each name the spelling to use: the most frequent one among those that mean the same."""
    chosen: dict[str, str] = {}
    keys: list[str] = []
    for name, _ in Counter(names).most_common():
        key = _key(name)
        match = process.extractOne(key, keys, scorer=fuzz.ratio, score_cutoff=SIMILAR)
        if match is None:
            keys.append(key)
            chosen[key] = name
        else:
            chosen[key] = chosen[match[0]]
        chosen[name] = chosen[key]
    return chosen


def _key(name: str) -> str:
    plain = utils.default_process(_without_accents(name)).replace(" and ", " ")
    words = [word for word in plain.split() if word != "the"]
    return " ".join(words) or plain


def _without_accents(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))
