"""The classifiers that access rules of the contract name: from a request to the rights that it needs.

Each is pure, so that the host's gate and the testing kit decide alike. A new one gets its line in both tables.
"""

from __future__ import annotations

from typing import Dict, FrozenSet

from moorage_proto.rules import Classifier

#: By the name that ``classify`` has in a .proto file.
CLASSIFIERS: Dict[str, Classifier] = {}

#: The verbs of the rights that each of them may answer.
CLASSIFIED_VERBS: Dict[str, FrozenSet[str]] = {}
