from __future__ import annotations

import pytest
from postgres_worlds import PostgresWorld


@pytest.fixture
def world(postgres: PostgresWorld) -> PostgresWorld:
    return postgres
