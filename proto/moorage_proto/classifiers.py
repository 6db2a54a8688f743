"""The classifiers that access rules of the contract name: from a request to the rights that it needs.

Each is pure, so that the host's gate and the testing kit decide alike. A new one gets its line in both tables.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet

from moorage_proto import http_access
from moorage_proto.methods import Method
from moorage_proto.rules import Classifier

#: By the name that ``classify`` has in a .proto file.
CLASSIFIERS: Dict[str, Classifier] = {
    "http": http_access.classify,
}

#: The verbs of the rights that each of them may answer.
CLASSIFIED_VERBS: Dict[str, FrozenSet[str]] = {
    "http": http_access.VERBS | {http_access.SECRETS_USE},
}


def verbs_of(method: Method[Any, Any]) -> FrozenSet[str]:
    """Those that the access rule of a method may ask for."""
    access = method.access
    if access is None:
        return frozenset()
    classified = CLASSIFIED_VERBS.get(access.classify, frozenset())
    return frozenset(need.verb for need in access.needs.all) | frozenset(access.late.verbs) | classified
