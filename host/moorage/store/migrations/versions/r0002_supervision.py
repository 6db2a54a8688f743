"""What a verdict holds besides its sentence and traceback: the stack of all threads, and the last lines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("incarnations", sa.Column("verdict_stack", sa.Text()))
    op.add_column("incarnations", sa.Column("verdict_lines", sa.Text()))
