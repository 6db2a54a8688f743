"""Grants: how often and when each was used last, and which are refused while the audit cannot be written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("grants", sa.Column("fail_closed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("grants", sa.Column("uses", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("grants", sa.Column("used_at", sa.DateTime(timezone=True)))
