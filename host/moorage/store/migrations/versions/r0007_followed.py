"""How far triggers have followed the outcomes of executions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    # As the column that it refers to.
    name = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.String(300)
    op.create_table(
        "followed",
        sa.Column("trigger", name, nullable=False),
        sa.Column("since", _instant, nullable=False),
        sa.Column("until", _instant, nullable=False),
        sa.PrimaryKeyConstraint("trigger", name="pk_followed"),
        sa.ForeignKeyConstraint(["trigger"], ["triggers.id"], "fk_followed_trigger_triggers", ondelete="CASCADE"),
    )
