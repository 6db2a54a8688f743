"""Supervision: a verdict's stacks and last lines, which version loaded last, and the timeout that a run asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("incarnations", sa.Column("verdict_stack", sa.Text()))
    op.add_column("incarnations", sa.Column("verdict_lines", sa.Text()))
    op.add_column("installations", sa.Column("loaded_version", sa.String(200)))
    op.add_column("executions", sa.Column("timeout_seconds", sa.Float()))
