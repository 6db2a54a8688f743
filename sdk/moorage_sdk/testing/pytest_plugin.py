"""The ``moorage`` fixture; pytest finds it by this distribution's entry point."""

from __future__ import annotations

from typing import Iterator

import pytest

from moorage_sdk.testing.kit import Moorage
from moorage_sdk.testing.manifest import find_manifest


@pytest.fixture
def moorage(request: pytest.FixtureRequest) -> Iterator[Moorage]:
    """Runs this project's tasks with fakes, the real gate and the manifest's capabilities."""
    kit = Moorage(find_manifest(request.path.parent))
    yield kit
    kit.close()
