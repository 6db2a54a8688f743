"""Lists of executions by their state, newest first, without a look at all that have another."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.drop_index("ix_executions_state", "executions")
    op.create_index("ix_executions_state_id", "executions", ["state", "id"])
    op.create_index("ix_executions_installation_state_id", "executions", ["installation", "state", "id"])
