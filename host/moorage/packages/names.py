"""Names of plugins and installations: PyPI's rule, in its normalised form."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

from moorage.errors import Invalid

#: Packages of Moorage that workers get from the host; authors name them for their editors and tests.
HOST_PROVIDED = frozenset({"moorage-sdk", "moorage-proto"})
#: The packages that are imported from them.
HOST_PROVIDED_MODULES = frozenset({"moorage_sdk", "moorage_proto"})

#: No longer than what fits into file names and labels. ASCII alone: no other letter can look like one of these.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


class NameInvalid(Invalid, ValueError):
    code = "name_invalid"

    def __init__(self, found: object, problem: str) -> None:
        shown = ascii(found)
        super().__init__(f"{shown if len(shown) <= 80 else shown[:77] + '...'} {problem}.")


def normalised(found: object) -> str:
    """The name in small letters, with single hyphens between words (PEP 503). Raises NameInvalid."""
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise NameInvalid(
            found,
            "is not a name; write 1 to 64 ASCII letters, digits, '-', '_' or '.', with a letter or digit at both ends",
        )
    name = canonicalize_name(found)
    if name in HOST_PROVIDED:
        raise NameInvalid(found, "is the name of a part of Moorage itself; choose another name")
    return name
