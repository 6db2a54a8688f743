from __future__ import annotations

import pytest
from memory_link import SCOPE

from moorage.broker.scope import Scope, ScopeKind
from moorage.broker.services.base import Caller


@pytest.fixture
def caller() -> Caller:
    """A call of the installation `churn`, from the execution `e-1`."""
    scope = Scope(SCOPE, ScopeKind.EXECUTION, "churn", "i-churn", execution=SCOPE)
    return Caller("churn", "i-churn", scope, None, None, "", {SCOPE: SCOPE, "i-churn": "", "s-0": "e-0"})
