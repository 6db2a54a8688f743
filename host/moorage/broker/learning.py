"""Everything is allowed, and noted: for ``moorage dev --learn`` alone. The host refuses it anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from moorage_proto.capability import Capability, Grants
from moorage_proto.learning import Learnt, open_grants


class Learning:
    """Given to the sessions of a broker, in the place of no learning."""

    def __init__(self, learnt: Learnt, verbs: Callable[[], Iterable[str]]) -> None:
        """``verbs``: those that the host's services ask for."""
        self._learnt = learnt
        self._verbs = verbs

    def grants(self, grants: Grants) -> Grants:
        """What is decided by in the place of these; what is denied stays so."""
        return open_grants(grants, self._verbs())

    def note(self, need: Capability) -> None:
        """A call needed it. From any thread."""
        self._learnt.note(need)
