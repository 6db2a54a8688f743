"""Fixtures of the SDK's tests."""

import pytest

from moorage_proto import capability
from moorage_sdk.testing import Moorage, TestedManifest


@pytest.fixture
def kit():
    """The testing kit for a plugin named churn that may produce to plugin-topic and read every setting."""
    rights = ("kafka.produce:plugin-topic", "config.read:**")
    moorage = Moorage(TestedManifest("churn", capabilities=tuple(map(capability.parse, rights))))
    yield moorage
    moorage.close()
