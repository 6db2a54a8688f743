"""What plugins bring, as their last workers told, for when none runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Of PostgreSQL as all names are since 0006.
    postgresql = op.get_bind().dialect.name == "postgresql"
    name, code_hash = (sa.Text(collation="C") if postgresql else sa.String(length) for length in (200, 64))
    op.create_table(
        "contributions",
        sa.Column("installation", name, nullable=False),
        sa.Column("code_hash", code_hash, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("installation", name="pk_contributions"),
        sa.ForeignKeyConstraint(
            ["installation"], ["installations.id"], "fk_contributions_installation_installations", ondelete="CASCADE"
        ),
    )
